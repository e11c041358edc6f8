"""Topics of an Apache Kafka captured: what comes, what is added, and what is not there any more."""

import asyncio
import json
from typing import Any

import pytest
from confluent_kafka import TopicPartition

from cluster.connectors.contract import Arrival, Arrived, Source
from cluster.connectors.kafka.options import KafkaSource
from cluster.errors import InvalidRoute, Unreachable
from tests.servers.kafka import PASSWORD, USER, WAIT_S, KafkaServer

pytestmark = [pytest.mark.slow, pytest.mark.timeout(120)]


def opened(server: KafkaServer, *topics: str, share: int = 0, **more: Any) -> Source:
    """A source of those."""
    options = {"bootstrap_servers": server.servers, "format": "text"} | more
    return KafkaSource(topics=topics, **options).open(str(share), "tests")


async def come(source: Source, cursor: bytes | None, count: int) -> tuple[list[Arrival], bytes]:
    """Read until so many have come."""
    found: list[Arrival] = []
    async with asyncio.timeout(WAIT_S):
        while len(found) < count or cursor is None:
            arrived: Arrived = await source.read(cursor)
            found += arrived.records
            cursor = arrived.cursor
    return found, cursor


async def test_a_record_comes_as_it_is(server: KafkaServer) -> None:
    """With key, time and headers, and where it stood; a tombstone is empty; what does not decode says so."""
    topic = server.topic("as-it-is")
    producer = server.producer()
    headers = [("h", b"1"), ("h", None), ("kafka_offset", b"a lie")]
    producer.produce(topic, b'{"n": 1}', key=b"k", timestamp=1_700_000_000_123, headers=headers)
    producer.produce(topic, None, key=b"k")
    producer.produce(topic, b"{no json", key=b"j")
    producer.flush(WAIT_S)
    source = opened(server, topic, format="json")
    (first, deletion, bad), _ = await come(source, None, 3)
    await source.close()
    where = (("kafka_topic", b"as-it-is"), ("kafka_partition", b"0"))
    expected = Arrival(
        value={"n": 1},
        key=b"k",
        timestamp_ns=1_700_000_000_123_000_000,
        headers=(("h", b"1"), ("h", b""), *where, ("kafka_offset", b"0")),
    )
    assert expected == first
    assert (b"", b"k") == (deletion.value, deletion.key)
    assert (b"{no json", True) == (bad.value, dict(bad.headers)["rr-undecoded"].startswith(b"not json: "))


async def test_two_tasks_share_the_partitions_and_take_up_new_ones(server: KafkaServer) -> None:
    """Each of its own, also of those that are added while they read."""
    topic = server.topic("growing", 2)
    server.produce(topic, b"a", partition=0)
    server.produce(topic, b"b", partition=1)
    sources = [opened(server, topic, share=share, tasks=2, look="100ms") for share in (0, 1)]
    found = [await come(source, None, 1) for source in sources]
    assert [["a"], ["b"]] == [[record.value for record in records] for records, _ in found]
    server.grow(topic, 3)
    server.produce(topic, b"c", partition=2)
    server.produce(topic, b"d", partition=1)
    later = [await come(source, cursor, 1) for source, (_, cursor) in zip(sources, found, strict=True)]
    assert [["c"], ["d"]] == [[record.value for record in records] for records, _ in later]
    assert {"growing": {"0": 1, "2": 1}} == json.loads(later[0][1])
    for source in sources:
        await source.close()


async def test_latest_is_where_it_was_first_looked_at(server: KafkaServer) -> None:
    """The place is in the first cursor, before anything came."""
    topic = server.topic("late")
    server.produce(topic, b"0", b"1")
    source = opened(server, topic, start="latest")
    first = await source.read(None)
    await source.close()
    assert ([], b'{"late":{"0":2}}') == (list(first.records), first.cursor)
    server.produce(topic, b"2")
    again = opened(server, topic, start="latest")
    records, _ = await come(again, first.cursor, 1)
    await again.close()
    assert ["2"] == [record.value for record in records]


async def test_only_what_was_committed_is_read(server: KafkaServer) -> None:
    """Not what a transaction of theirs gave up."""
    topic = server.topic("transactions")
    producer = server.producer(transactional_id="theirs")
    producer.init_transactions(WAIT_S)
    for value, ends in ((b"given up", producer.abort_transaction), (b"kept", producer.commit_transaction)):
        producer.begin_transaction()
        producer.produce(topic, value)
        producer.flush(WAIT_S)
        ends(WAIT_S)
    source = opened(server, topic)
    records, _ = await come(source, None, 1)
    await source.close()
    assert ["kept"] == [record.value for record in records]


async def test_a_piece_is_bounded(server: KafkaServer) -> None:
    """About a mebibyte at once, however much is there."""
    topic = server.topic("large")
    server.produce(topic, *[b"x" * 400_000] * 8)
    source = opened(server, topic)
    cursor, sizes = (await source.read(None)).cursor, []
    while sum(sizes) < 8:
        arrived = await source.read(cursor)
        cursor = arrived.cursor
        sizes.append(len(arrived.records))
    await source.close()
    assert max(sizes) <= 3


async def test_what_is_not_there_any_more_is_said(server: KafkaServer) -> None:
    """Below the log's start, and behind its end."""
    topic = server.topic("short")
    server.produce(topic, *[b"%d" % number for number in range(5)])
    deleted = server.admin.delete_records([TopicPartition(topic, 0, 3)])
    next(iter(deleted.values())).result(WAIT_S)
    below = opened(server, topic)
    with pytest.raises(InvalidRoute, match=r"offset 2\) was deleted there before it was captured, the log begins at 3"):
        await below.read(b'{"short":{"0":2}}')
    await below.close()
    behind = opened(server, topic)
    with pytest.raises(InvalidRoute, match=r"partition 0 of short .* set back or made anew"):
        await come(behind, b'{"short":{"0":50}}', 1)
    await behind.close()
    gone = opened(server, topic)
    with pytest.raises(InvalidRoute, match="partition 7 of short is not there any more"):
        await gone.read(b'{"short":{"0":3,"7":1}}')
    await gone.close()


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"topics": ("absent",)}, "it has no such topic"),
        ({"tasks": 2}, "too few partitions for 2 tasks"),
        ({"config": {"no.such": "1"}}, 'No such configuration property: "no.such"'),
    ],
)
async def test_what_only_a_person_can_mend(server: KafkaServer, more: dict[str, Any], says: str) -> None:
    """One sentence that says what and where."""
    if "wrong" not in server.admin.list_topics(timeout=WAIT_S).topics:
        server.topic("wrong")
    options = {"topics": ("wrong",), "bootstrap_servers": server.servers} | more
    source = KafkaSource(**options).open(str(options.get("tasks", 1) - 1), "tests")
    with pytest.raises(InvalidRoute, match=says) as told:
        await source.read(None)
    await source.close()
    assert f"kafka {server.servers}, topic " in str(told.value)


async def test_a_password_that_is_wrong_is_said_and_one_that_is_right_lets_in(server: KafkaServer) -> None:
    """Without saying it."""
    topic = server.topic("guarded")
    server.produce(topic, b"x")
    sasl = {
        "bootstrap_servers": f"127.0.0.1:{server.sasl_port}",
        "security_protocol": "SASL_PLAINTEXT",
        "sasl_mechanism": "PLAIN",
        "sasl_username": USER,
    }
    source = opened(server, topic, sasl_password=PASSWORD, **sasl)
    records, _ = await come(source, None, 1)
    await source.close()
    assert ["x"] == [record.value for record in records]
    wrong = opened(server, topic, sasl_password="wr0ng", timeout="2s", **sasl)
    with pytest.raises(InvalidRoute, match="refuses us: ") as told:
        await wrong.read(None)
    await wrong.close()
    assert "wr0ng" not in str(told.value)


async def test_one_that_is_away_is_waited_for() -> None:
    """And says where."""
    source = KafkaSource(bootstrap_servers="127.0.0.1:9", topics=("x",), timeout="1s").open("0", "tests")
    for _ in range(2):
        with pytest.raises(Unreachable, match=r"kafka 127\.0\.0\.1:9, topic x"):
            await source.read(None)
    await source.close()


async def test_one_that_hangs_is_told_of_and_goes_on(server: KafkaServer) -> None:
    """A read that is given up meanwhile is given up at once."""
    topic = server.topic("hanging")
    server.produce(topic, b"0")
    source = opened(server, topic, timeout="1s")
    _, cursor = await come(source, None, 1)
    loop = asyncio.get_running_loop()
    with server.frozen():
        begun = loop.time()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(source.read(cursor), 0.3)
        assert loop.time() - begun < 1
        again = opened(server, topic, timeout="1s")
        with pytest.raises(Unreachable):
            await again.read(cursor)
    await source.close()
    server.produce(topic, b"1")
    records, _ = await come(again, cursor, 1)
    await again.close()
    assert ["1"] == [record.value for record in records]
