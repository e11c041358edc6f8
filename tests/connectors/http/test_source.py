"""Webhooks that come: answered when they are stored, refused when they are not what they say."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import httpx2
import pytest

from chaos.arenas.processes.ports import _bound
from cluster.connectors.clock import wall_ns
from cluster.connectors.http.options import Webhook
from cluster.connectors.http.signatures import Scheme, key_of, signed
from cluster.connectors.http.source import WebhookSource
from cluster.errors import InvalidRoute, Unreachable
from tests.connectors.kills import kill_source

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

pytestmark = pytest.mark.slow


@contextlib.asynccontextmanager
async def listening(**options) -> AsyncIterator[tuple[WebhookSource, httpx2.AsyncClient, "asyncio.Task"]]:
    """A source that listens, a client of it, and its first read."""
    made = Webhook(**{"listen": "127.0.0.1:0", "path": "/in", **options})
    made.check()
    source = made.open("", "told")
    reading = asyncio.create_task(source.read(None))
    while source._server is None:  # noqa: ASYNC110  it tells nobody
        await asyncio.sleep(0.001)
    try:
        async with httpx2.AsyncClient(base_url=f"http://127.0.0.1:{source.port}", timeout=10.0) as client:
            yield source, client, reading
    finally:
        reading.cancel()
        await source.close()


async def test_who_posts_is_answered_when_the_record_is_committed() -> None:
    """And not before."""
    async with listening(key="customer") as (source, client, reading):
        posting = asyncio.create_task(client.post("/in", json={"customer": "c1", "n": 1}, headers={"webhook-id": "w1"}))
        arrived = await reading
        (record,) = arrived.records
        assert ({"customer": "c1", "n": 1}, b"c1", "w1") == (record.value, record.key, record.unique)
        assert ("webhook-id", b"w1") in record.headers
        await asyncio.sleep(0.05)
        assert not posting.done()
        await source.committed(arrived.cursor)
        answer = await posting
        assert (200, {"message": "it is stored"}) == (answer.status_code, answer.json())


async def test_what_is_not_stored_in_time_or_when_it_ends_is_to_be_sent_again() -> None:
    """503, and nothing was promised."""
    async with listening(answer_within="200ms") as (source, client, reading):
        late = await client.post("/in", json=1)
        assert (503, "1") == (late.status_code, late.headers["retry-after"])
        await reading
        posting = asyncio.create_task(client.post("/in", json=2))
        second = asyncio.create_task(source.read(b"1"))
        assert [2] == [record.value for record in (await second).records]
        closing = asyncio.create_task(source.close())
        assert 503 == (await posting).status_code
        await closing


@pytest.mark.parametrize(
    ("request_", "status", "says"),
    [
        ({"url": "/in", "content": b"{"}, 400, "it is no JSON"),
        ({"url": "/in", "content": b"{}"}, 400, "it has no id, which is its key"),
        ({"url": "/in", "content": b"[" + b"1," * 600 + b"1]"}, 413, "at most 1000 bytes are taken"),
        ({"url": "/elsewhere", "content": b"{}"}, 404, "POST to /in"),
        ({"url": "/in", "method": "DELETE"}, 405, "POST it"),
        ({"url": "/in", "method": "GET"}, 200, "it listens"),
    ],
)
async def test_what_cannot_be_taken_is_refused_at_once(request_: dict, status: int, says: str) -> None:
    """Nothing of it reaches the log."""
    async with listening(key="id", body_bytes_max=1000) as (_, client, reading):
        answer = await client.request(**{"method": "POST", **request_})
        assert status == answer.status_code
        assert says in answer.json()["message"]
        assert not reading.done()


async def test_a_body_in_pieces_is_cut_at_the_limit_too() -> None:
    """It does not say how long it is."""

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100

    async with listening(body_bytes_max=1000) as (_, client, reading):
        assert 413 == (await client.post("/in", content=pieces())).status_code
        assert not reading.done()


async def test_a_forged_request_is_refused_and_a_signed_one_is_not() -> None:
    """With the sentence that says why."""
    async with listening(signature="standard", secret=SECRET) as (source, client, reading):
        body = b'{"n":1}'
        forged = await client.post("/in", content=body, headers=signed(b"another", "m1", body, wall_ns() // 10**9))
        assert (401, "the signature is not right") == (forged.status_code, forged.json()["message"])
        headers = signed(key_of(SECRET), "m1", body, wall_ns() // 10**9)
        posting = asyncio.create_task(client.post("/in", content=body, headers=headers))
        arrived = await reading
        await source.committed(arrived.cursor)
        assert 200 == (await posting).status_code


async def test_a_port_that_is_taken_is_waited_for() -> None:
    """Whoever listened before may not be gone yet."""
    async with listening() as (source, _, __):
        other = Webhook(listen=f"127.0.0.1:{source.port}").open("", "told")
        with pytest.raises(Unreachable, match="somebody else listens"):
            await other.read(None)


class Nobody:
    """See Killable: who sends has nothing that could be lost."""

    def kill(self) -> None:
        """Nothing."""

    def start(self) -> None:
        """Nothing."""


@pytest.mark.parametrize("points", [5, pytest.param(20, marks=pytest.mark.long)])
def test_what_was_answered_is_committed_though_the_listener_is_killed(points: int) -> None:
    """The sender tries again until it is answered; what came twice has the same id."""
    with _bound(0) as bound:
        port = bound.getsockname()[1]
    answered: list[int] = []

    def feed() -> None:
        number = len(answered)
        with contextlib.suppress(httpx2.HTTPError):
            answer = httpx2.post(
                f"http://127.0.0.1:{port}/in", json=number, headers={"webhook-id": f"w{number}"}, timeout=2.0
            )
            if answer.status_code == 200:
                answered.append(number)

    found = kill_source(
        Webhook(listen=f"127.0.0.1:{port}", path="/in"),
        truth_done=lambda records: set(answered) <= {record.value for record in records},
        peer=Nobody(),
        points=points,
        seed=11,
        feed=feed,
    )
    assert answered
    assert {f"w{record.value}" for record in found} == {record.unique for record in found}


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"listen": "8080"}, "listen is '8080'"),
        ({"listen": "0.0.0.0:80"}, "whoever reaches 0.0.0.0:80 could write records"),
        ({"listen": "127.0.0.1:80", "signature": Scheme.GITHUB}, "a signature needs a secret"),
        ({"listen": "127.0.0.1:80", "secret": "x"}, "a secret needs a signature"),
        ({"listen": "127.0.0.1:80", "path": "in"}, "begins with a slash"),
        ({"listen": "127.0.0.1:80", "format": "xml"}, "format is 'xml'"),
        ({"listen": "127.0.0.1:80", "certificate": "x"}, "go together"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(options: dict, says: str) -> None:
    """Before anything listens."""
    with pytest.raises(InvalidRoute, match=says):
        Webhook(**options).check()
