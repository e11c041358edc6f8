"""Who may ask: hosts, origins, and what a page may do that was let through."""

import json
from typing import Any

import pytest

from cluster.broker.web.guard import Guard, host_of
from cluster.config import HttpOptions
from tests.broker.web.client import HOST, NAME, Answer, WebClient, on_one_node

URL = "/topics/t/records"
PAGE = "https://app.example"


async def here(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers whoever gets to it."""
    del scope, receive
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def guarded(**options: Any) -> WebClient:
    """A client of that application behind a guard."""
    return WebClient(Guard(here, names={NAME}, options=HttpOptions(**options), wall_ns=lambda: 0))


def is_forbidden(answer: Answer) -> bool:
    """Whether it was refused, as everything is."""
    return (403, "permission_denied", "FORBIDDEN") == (
        answer.status,
        json.loads(answer.body).get("code"),
        json.loads(answer.body).get("reason"),
    )


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", HOST, "[::1]:7371", "10.1.2.3:80", "localhost", "LocalHost:7371", NAME + ":7371", "a.example."],
)
async def test_these_hosts_are_ours(host: str) -> None:
    """Addresses cannot be rebound; names are known."""
    assert 200 == (await guarded(hosts_allowed=("A.example",)).get(URL, {"host": host})).status


@pytest.mark.parametrize(
    "host", ["", "evil.example", "evil.example:7371", "127.0.0.1.evil.example", "localhost.evil", "[x"]
)
async def test_other_hosts_are_refused(host: str) -> None:
    """A name that was rebound to this address would be the page's own origin: only the name tells."""
    told = await guarded().get(URL, {"host": host, "origin": f"http://{host}"})
    assert is_forbidden(told)
    assert "hosts_allowed" in told.json()["message"]


@pytest.mark.parametrize(
    "origin", [PAGE, "null", "http://127.0.0.1:9", "http://127.0.0.1", "file://", "http://evil.example", "http://["]
)
async def test_foreign_pages_are_refused(origin: str) -> None:
    """Whatever they ask, the preflight included; and no header lets them read the refusal."""
    for method in ("GET", "POST", "OPTIONS"):
        told = await guarded().ask(method, URL, headers={"origin": origin, "access-control-request-method": "POST"})
        assert is_forbidden(told)
        assert "access-control-allow-origin" not in told.headers


async def test_our_own_pages_are_let_through() -> None:
    """By the host that they came by; TLS may have been taken off on the way."""
    for origin in (f"http://{HOST}", f"https://{HOST}"):
        told = await guarded().get(URL, {"origin": origin})
        assert 200 == told.status
        assert "access-control-allow-origin" not in told.headers


@pytest.mark.parametrize("allowed", [(PAGE,), (PAGE.upper() + "/",), ("*",)])
async def test_a_listed_origin_may_ask_and_read(allowed: tuple[str, ...]) -> None:
    """Its preflight allows what it asks for, and its answers name it; caches keep origins apart."""
    client = guarded(origins_allowed=allowed)
    asked = {
        "origin": PAGE,
        "access-control-request-method": "POST",
        "access-control-request-headers": "content-type,ce-id",
    }
    preflight = await client.ask("OPTIONS", URL, headers=asked)
    assert (204, PAGE, "content-type,ce-id") == (
        preflight.status,
        preflight.headers["access-control-allow-origin"],
        preflight.headers["access-control-allow-headers"],
    )
    assert "POST" in preflight.headers["access-control-allow-methods"]
    told = await client.get(URL, {"origin": PAGE})
    assert (200, PAGE) == (told.status, told.headers["access-control-allow-origin"])
    assert "origin" in told.headers["vary"].lower()


def test_hosts_of_addresses() -> None:
    """With a port, without one, and of the sixth version."""
    assert ["a", "a", "::1", "::1"] == [host_of(text) for text in ("a:1", "A", "[::1]:1", "[::1]")]


@pytest.mark.slow
@on_one_node(origins_allowed=(PAGE,))
async def test_a_page_sees_its_errors(client: WebClient) -> None:
    """They have the headers, too; and a node that is ready says so."""
    told = await client.get("/topics/none/records", {"origin": PAGE})
    assert (404, PAGE) == (told.status, told.headers["access-control-allow-origin"])
    assert ({"alive": True}, {"ready": True}) == (
        (await client.get("/healthz")).json(),
        (await client.get("/readyz")).json(),
    )
    assert 405 == (await client.post("/healthz", {})).status
    assert 404 == (await client.get("/")).status
