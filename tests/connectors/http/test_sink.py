"""Records that are POSTed: in the order of their keys, each at least once, and what is refused is named."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.connectors.contract import Delivery, Position
from cluster.connectors.http.options import WebhookTarget
from cluster.connectors.http.signatures import Scheme, check, key_of
from cluster.errors import InvalidRoute, RecordRefused, Unreachable
from tests.connectors.kills import kill_sink
from tests.servers.webhooks import Webhooks

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Webhooks]:
    """It runs, and ends with the test."""
    made = Webhooks(tmp_path)
    made.start()
    yield made
    made.kill()


def delivery(number: int, **fields) -> Delivery:
    """One of seven keys."""
    return Delivery(
        value={"number": number, **fields},
        key=b"k%d" % (number % 7),
        timestamp_ns=1,
        headers=(),
        offset=number,
        id=f"lane/t/0@{number}",
    )


def position(begin: int, end: int) -> Position:
    """Of the only lane."""
    return Position(lane="lane/t/0", begin=begin, end=end)


def numbers(server: Webhooks) -> list[int]:
    """What was taken, as it came."""
    return [taken["value"]["number"] for taken in server.taken()]


async def test_each_record_is_a_request_and_those_of_a_key_are_in_order(server: Webhooks) -> None:
    """Signed, with an id that it always has."""
    sink = WebhookTarget(url=server.url, secret=SECRET, headers={"authorization": "Bearer x"}).open("told")
    assert await sink.write([delivery(number) for number in range(70)], position(0, 70))
    by_key: dict[int, list[int]] = defaultdict(list)
    for number in numbers(server):
        by_key[number % 7].append(number)
    assert {key: list(range(key, 70, 7)) for key in range(7)} == dict(by_key)
    taken = server.taken()[0]
    headers = taken["headers"]
    assert ("Bearer x", taken["id"]) == (headers["authorization"], headers["webhook-id"])
    now_s = int(headers["webhook-timestamp"])
    checked = check(Scheme.STANDARD, key_of(SECRET), headers, taken["body"].encode(), now_s=now_s, tolerance_s=1)
    assert taken["id"] == checked.id
    await sink.close()


async def test_a_refused_record_is_named_and_the_others_are_not_sent_again(server: Webhooks) -> None:
    """One in ten: those before it went, and are known."""
    sink = WebhookTarget(url=server.url, concurrency=1).open("told")
    batch = [delivery(number, **({"answer": 422} if number == 5 else {})) for number in range(10)]
    with pytest.raises(RecordRefused, match="answers 422: as you like it") as refused:
        await sink.write(batch, position(0, 10))
    assert 5 == refused.value.place
    assert await sink.write(batch[:5], position(0, 5))
    assert await sink.write(batch[6:], position(5, 10))
    assert [0, 1, 2, 3, 4, 6, 7, 8, 9] == sorted(numbers(server))
    await sink.close()


@pytest.mark.parametrize(
    ("status", "error"), [(503, Unreachable), (429, Unreachable), (401, InvalidRoute), (404, InvalidRoute)]
)
async def test_what_an_answer_means(server: Webhooks, status: int, error: type[Exception]) -> None:
    """Later, or never: neither is the record's fault."""
    sink = WebhookTarget(url=server.url).open("told")
    with pytest.raises(error, match=f"answers {status}"):
        await sink.write([delivery(1, answer=status)], position(0, 1))
    await sink.close()


async def test_who_is_away_or_too_slow_is_unreachable(server: Webhooks, tmp_path: Path) -> None:
    """Neither message has what may be secret in it."""
    slow = Webhooks(tmp_path / "slow", delay_s=1.0)
    slow.path.parent.mkdir()
    slow.start()
    try:
        sink = WebhookTarget(url=slow.url + "?token=hidden", timeout="200ms").open("told")
        with pytest.raises(Unreachable, match="Timeout") as caught:
            await sink.write([delivery(1)], position(0, 1))
        assert "hidden" not in caught.value.message
        await sink.close()
    finally:
        slow.kill()
    server.kill()
    sink = WebhookTarget(url=server.url).open("told")
    with pytest.raises(Unreachable, match="ConnectError"):
        await sink.write([delivery(1)], position(0, 1))
    await sink.close()


@pytest.mark.parametrize("points", [5, pytest.param(20, marks=pytest.mark.long)])
def test_each_record_comes_through_kills_of_both_sides(server: Webhooks, points: int) -> None:
    """At least once, and again only under the same id."""
    kill_sink(
        WebhookTarget(url=server.url),
        [delivery(number) for number in range(300)],
        peer=server,
        points=points,
        seed=7,
    )
    taken = server.taken()
    assert set(range(300)) == {each["value"]["number"] for each in taken}
    assert 300 == len({each["id"] for each in taken})
    assert all(each["id"] == f"lane/t/0@{each['value']['number']}" for each in taken)
    assert json.loads(taken[0]["body"]) == taken[0]["value"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"url": "localhost/in"}, "url is 'localhost/in'"),
        ({"url": "http:///in"}, "url is 'http:///in'"),
        ({"url": "http://h:99999/in"}, "url is 'http://h:99999/in'"),
        ({"url": "http://[h/in"}, "url is 'http://\\[h/in'"),
        ({"url": "http://h/", "method": "GET"}, "method is 'GET'"),
        ({"url": "http://h/", "concurrency": 0}, "concurrency is 0"),
        ({"url": "http://h/", "timeout": "1h"}, "timeout is '1h'"),
    ],
)
def test_options_that_make_no_sense_are_one_sentence(options: dict, says: str) -> None:
    """Before anything is sent."""
    with pytest.raises(InvalidRoute, match=says):
        WebhookTarget(**options).check()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://ann:pw@Example.com:8443/in?token=t", "webhook https://Example.com:8443/in"),
        ("http://127.0.0.1:${PORT}/in", "webhook http://127.0.0.1:${PORT}/in"),
        ("https://ann:${PW}@h/in", "webhook https://h/in"),
        ("${URL}", "webhook ${URL}"),
    ],
)
def test_a_summary_has_no_secrets_and_copes_with_their_names(url: str, says: str) -> None:
    """Whatever part of the address is one."""
    target = WebhookTarget(url=url)
    target.check()
    assert says == target.summary
