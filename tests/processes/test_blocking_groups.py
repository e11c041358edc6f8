"""Groups from scripts and threads, on a real node: what is processed when, interruption, and every way to leave."""

import asyncio
import gc
import signal
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from cluster import connect_blocking
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster
from cluster.client.blocking import BlockingClient
from cluster.client.blocking_subscription import BlockingSubscription
from cluster.errors import Closed, GroupNotEmpty, UnknownGroup, UnknownTopic

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(90)]
PARTITIONS = 3
RECORDS = 30


@pytest.fixture
def client(make_cluster: Callable[[int], LocalCluster]) -> Iterator[BlockingClient]:
    """Of a node with the topic `t`, which has some records."""
    cluster = make_cluster(1)
    cluster.start_all()
    asyncio.run(wait_ready(cluster))
    with connect_blocking(cluster.address(1)) as made:
        made.create_topic("t", partitions=PARTITIONS)
        publish(made, range(RECORDS))
        yield made


def publish(client: BlockingClient, numbers: range) -> set[bytes]:
    """Their values, spread over all partitions."""
    for number in numbers:
        client.produce("t", b"%d" % number, partition=number % PARTITIONS)
    client.flush()
    return {b"%d" % number for number in numbers}


def position(client: BlockingClient) -> int:
    """How many records the group has processed, as the cluster says."""
    return sum(part.position or 0 for part in client.describe_group("g").partitions)


def wait_assigned(records: BlockingSubscription) -> None:
    """Until all partitions are this member's."""
    while len(records.assignment) < PARTITIONS:
        time.sleep(0.02)


def wait_left(client: BlockingClient) -> float:
    """Until the group has no members; how long that took, in seconds."""
    begin_s = time.perf_counter()
    while client.describe_group("g").members:
        time.sleep(0.02)
    return time.perf_counter() - begin_s


def test_what_is_asked_behind_is_processed(client: BlockingClient):
    """A commit counts all that was given; a block that is left by an error does not count the last one."""
    with client.subscribe("t", group="g", name="script") as records:
        first = [next(records).value for _ in range(4)]
        records.commit()
        assert 4 == position(client) == sum(records.positions.values())
        assert ["script"] == [member.client for member in client.describe_group("g").members]
        assert PARTITIONS == len(records.assignment)
        with pytest.raises(GroupNotEmpty):
            client.reset_group("g", "t", "earliest")
        first.append(next(records).value)
    assert 5 == position(client)

    def fail_at_the_third() -> None:
        with client.subscribe("t", group="g") as records:
            first.extend(next(records).value for _ in range(2))
            next(records)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_at_the_third()
    assert 7 == position(client)
    with client.subscribe("t", group="g") as records:
        rest = [next(records).value for _ in range(RECORDS - 7)]
    assert {b"%d" % number for number in range(RECORDS)} == {*first, *rest}
    assert 0 == client.describe_group("g").lag_records
    with pytest.raises(Closed):
        next(records)
    assert 1 == client.reset_group("g", "t", 1, partitions=[2])[0].position
    assert ["g"] == [group.name for group in client.list_groups()]
    client.delete_group("g")
    with pytest.raises(UnknownGroup):
        client.describe_group("g")


def test_lists_for_speed(client: BlockingClient):
    """Each is processed when the next one is asked for, or committed."""
    found = set()
    with client.subscribe("t", group="g") as records:
        for batch in records.batches():
            found |= {record.value for record in batch.records}
            if len(found) == RECORDS:
                records.commit()
                break
        assert RECORDS == position(client)
    assert {b"%d" % number for number in range(RECORDS)} == found


def test_ctrl_c_loses_nothing_and_counts_nothing(client: BlockingClient):
    """Whoever was interrupted gets the record that came in that moment with the next call; it was not committed."""
    with client.subscribe("t", group="g", start="latest") as records:
        wait_assigned(records)
        timer = threading.Timer(0.3, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            next(records)
        timer.join()
        before = position(client)
        client.publish("t", b"later", partition=1)
        client._background.ask(records._next_record)  # as if its answer was not waited for to the end
        records.commit()
        assert before == position(client)
        assert b"later" == next(records).value
        records.commit()
        assert before + 1 == position(client)


def test_every_way_to_leave(client: BlockingClient):
    """By closing, from another thread too, or because nobody holds it: at once, with what was processed."""
    records = client.subscribe("t", group="g", start="latest")
    outcomes: list[BaseException] = []

    def wait() -> None:
        try:
            next(records)
        except Closed as error:
            outcomes.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    wait_assigned(records)
    records.close()
    thread.join()
    assert [Closed] == [type(outcome) for outcome in outcomes]
    assert 0 == len(client.describe_group("g").members)

    client.reset_group("g", "t", "earliest")
    for count, _ in enumerate(client.subscribe("t", group="g")):
        if count == 2:
            break
    gc.collect()
    assert wait_left(client) < 3
    assert 2 == position(client)

    kept = client.subscribe("t", group="g")
    next(kept)
    kept.abandon()
    assert wait_left(client) > 3  # it is waited for: its grace
    with pytest.raises(UnknownTopic):
        next(client.subscribe("absent", group="g"))
