"""The client for scripts and threads, against nodes in memory: answers, errors, interruption, and its end."""

import asyncio
import gc
import os
import signal
import sys
import threading
import time
import warnings

import pytest

from cluster.client.blocking import BlockingClient
from cluster.errors import Closed, DeadlineExceeded, InvalidRequest, OffsetOutOfRange, Unavailable, UnknownTopic
from tests.client.fake_cluster import FakeCluster

RECORDS = 200
THREAD = "riverrun client"


@pytest.fixture
def cluster():
    """Nodes with the topic `t`, of three partitions; they answer on the loop of whoever asks first."""
    made = FakeCluster()
    made.make_topic("t", 3)
    return made


@pytest.fixture
def client(cluster):
    """A client of them; its thread ends with the test."""
    with BlockingClient(cluster.client) as made:
        yield made
    assert THREAD not in {thread.name for thread in threading.enumerate()}


def in_threads(*work):
    """Each in a thread of its own; what they returned or raised."""
    outcomes = [None] * len(work)

    def run(number):
        try:
            outcomes[number] = work[number]()
        except Exception as error:  # noqa: BLE001  looked at by the test
            outcomes[number] = error

    threads = [threading.Thread(target=run, args=[number]) for number in range(len(work))]
    for thread in threads:
        thread.start()
    return threads, outcomes


def ctrl_c_soon():
    """The signal, when the main thread waits for something."""
    timer = threading.Timer(0.1, signal.pthread_kill, [threading.main_thread().ident, signal.SIGINT])
    timer.start()
    return timer


def until(condition):
    """Wait for what another thread does."""
    for _ in range(10_000):
        if condition():
            return
        time.sleep(0.001)
    raise AssertionError("it did not happen in time")


def test_what_goes_in_comes_out(client):
    """Topics, records with receipts, reading with positions, offsets, the cluster."""
    client.create_topic("new", partitions=2)
    assert ["new", "t"] == [topic.name for topic in client.list_topics()]
    assert 2 == len(client.describe_topic("new").partitions)
    deliveries = [client.produce("new", b"%d" % n, partition=n % 2, headers={"n": b"x"}) for n in range(RECORDS)]
    client.flush()
    assert all(delivery.done() for delivery in deliveries)
    assert ("new", 1) == (deliveries[1].topic, deliveries[1].partition)
    assert [n // 2 for n in range(RECORDS)] == [delivery.result().offset for delivery in deliveries]
    assert RECORDS // 2 == client.publish("new", b"last", partition=0).offset
    found = list(client.read("new", until="latest"))
    assert sorted([b"last", *(b"%d" % n for n in range(RECORDS))]) == sorted(record.value for record in found)
    assert {0: RECORDS // 2 + 1, 1: RECORDS // 2} == {p: o.end for p, o in client.offsets("new").items()}
    assert 3 == len(client.cluster_status().nodes)
    assert RECORDS + 1 == client.report().records_acknowledged
    client.delete_topic("new")
    with pytest.raises(UnknownTopic):
        client.describe_topic("new")


def test_a_reader_says_where_it_stands(client, cluster):
    """After each record; another one goes on from there."""
    cluster.fill("t", 1, 50)
    with client.read("t", partitions=[1]) as reader:
        first = [next(reader).value for _ in range(17)]
        assert {1: 17} == reader.positions
    rest = [record.value for record in client.read("t", partitions=[1], start={1: 17}, until="latest")]

    assert [b"1:%d" % n for n in range(50)] == first + rest
    with pytest.raises(Closed):
        next(reader)


def test_errors_have_their_types(client):
    """Those of the asynchronous client."""
    with pytest.raises(UnknownTopic):
        client.produce("absent", b"v")
    with pytest.raises(OffsetOutOfRange):
        next(client.read("t", partitions=[0], start=99))
    with pytest.raises(InvalidRequest, match="bytes"):
        client.publish("t", "text")
    nobody = FakeCluster(nodes=1)
    nobody.network.down.update(nobody.addresses)
    with pytest.raises(Unavailable, match="is the cluster running there"):
        BlockingClient(lambda: nobody.client(connect_timeout_s=0.2))


def test_a_producer_of_its_own(client):
    """By a name; closed by `with`, and then it takes nothing."""
    with client.producer(name="n") as producer:
        delivery = producer.produce("t", b"v", partition=0)
        assert 1 == producer.publish("t", b"w", partition=0).offset
    assert 0 == delivery.result().offset
    assert 2 == producer.report().records_acknowledged
    with pytest.raises(Closed):
        producer.produce("t", b"v")


def test_many_threads(client, cluster):
    """Each record once, and each thread's in its order."""

    def produce(number):
        return [client.produce("t", b"%d.%d" % (number, n), partition=0) for n in range(RECORDS)][-1].result()

    threads, outcomes = in_threads(*(lambda number=number: produce(number) for number in range(4)))
    for thread in threads:
        thread.join()
    values = cluster.values("t", 0)

    assert [] == [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert 4 * RECORDS == len(values)
    for number in range(4):
        mine = [value for value in values if value.startswith(b"%d." % number)]
        assert [b"%d.%d" % (number, n) for n in range(RECORDS)] == mine


def test_waiting_has_an_end(client, cluster):
    """And the outcome may be asked for again."""
    cluster.move("t", 0, None)
    delivery = client.produce("t", b"v", partition=0)
    with pytest.raises(DeadlineExceeded, match=r"0\.05 s"):
        delivery.result(timeout_s=0.05)
    assert not delivery.done()
    cluster.move("t", 0, 1)

    assert 0 == delivery.result(timeout_s=10).offset


def test_ctrl_c_ends_the_wait_and_nothing_else(client):
    """The same reader goes on, and has lost nothing."""
    reader = client.read("t", partitions=[0])
    interrupt = ctrl_c_soon()
    with pytest.raises(KeyboardInterrupt):
        next(reader)
    interrupt.join()
    client.publish("t", b"later", partition=0)

    assert b"later" == next(reader).value


def test_ctrl_c_at_any_moment_is_one_and_breaks_nothing(client):
    """Wherever it comes in what a call does in Python: the call ends, and the client goes on.

    `Condition.__enter__` has its lock when it returns: interrupted there it was kept, and the client's thread waited
    for it for ever. `Condition.wait` has let go of its lock, and missed it at its end.
    """
    reader = client.read("t", partitions=[0])
    interrupted, moment = True, 0
    while interrupted:
        moment += 1
        sent = client.publish("t", b"%d" % moment, partition=0)
        interrupted = _interrupted_at(moment, lambda: next(reader))
        threads, outcomes = in_threads(lambda: reader.positions)
        threads[0].join(10)
        assert not threads[0].is_alive(), f"the client does nothing any more after moment {moment}"
        if outcomes[0].get(0, sent.offset) == sent.offset:  # it was not given out
            assert sent.offset == next(reader).offset
        else:
            assert sent.offset == reader._batch.records[reader._next - 1].offset
    assert moment > 30


def test_ctrl_c_at_any_moment_of_closing_leaves_nothing_behind(cluster):
    """Whoever closes once more does not wait for ever, and the thread is gone; who waits for an answer has one."""
    interrupted, moment = True, 0
    while interrupted:
        moment += 1
        client = BlockingClient(cluster.client)
        reader = client.read("t", partitions=[1])
        threads, outcomes = in_threads(lambda: next(reader))  # noqa: B023
        until(lambda: client._background._asked)  # noqa: B023
        interrupted = _interrupted_at(moment, client.close)
        closing, _ = in_threads(client.close)
        for thread in (*closing, *threads):
            thread.join(10)
            assert not thread.is_alive(), f"it is waited for, for ever, after moment {moment}"
        assert isinstance(outcomes[0], Closed)
    assert moment > 20
    assert THREAD not in {thread.name for thread in threading.enumerate()}


def _interrupted_at(moment, call):
    """Whether the call came to its moment of that number, from 1: where Python looks for signals, but for loops.

    What a collected object does is left out: an error in that is told, and dropped.
    """
    seen = 0

    def look(frame, event, _argument):
        nonlocal seen
        if event in {"call", "return", "c_return"} and not frame.f_code.co_filename.endswith("_weakrefset.py"):
            seen += 1
            if seen == moment:
                raise KeyboardInterrupt

    sys.setprofile(look)
    try:
        call()
    except KeyboardInterrupt:
        return True
    finally:
        sys.setprofile(None)
    return False


def test_an_error_while_ctrl_c_is_handled_is_that_error(client):
    """What is asked for then may fail as well."""
    reader = client.read("t", partitions=[0])
    interrupt = ctrl_c_soon()
    try:
        next(reader)
    except KeyboardInterrupt:
        with pytest.raises(UnknownTopic):
            client.publish("absent", b"v")
    interrupt.join()


def test_after_the_end_everything_says_so(cluster):
    """Closing acknowledges what was produced; whoever waits is told; the thread is gone."""
    client = BlockingClient(cluster.client)
    reader = client.read("t", partitions=[1])
    delivery = client.produce("t", b"v", partition=0)
    threads, outcomes = in_threads(lambda: next(reader))
    until(lambda: client._background._asked)
    client.close()
    threads[0].join()
    client.close()

    assert [b"v"] == cluster.values("t", 0)
    assert isinstance(outcomes[0], Closed)
    for call in (
        client.list_topics,
        client.flush,
        lambda: client.produce("t", b"v"),
        lambda: client.publish("t", b"v"),
        lambda: client.read("t"),
        client.producer,
        delivery.result,
        lambda: next(reader),
    ):
        with pytest.raises(Closed):
            call()
    assert THREAD not in {thread.name for thread in threading.enumerate()}


def test_leaving_by_an_error_leaves_at_once(cluster):
    """What is not acknowledged is not waited for."""
    cluster.move("t", 0, None)

    def leave(client):
        with client:
            client.produce("t", b"v", partition=0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        leave(BlockingClient(cluster.client))
    assert THREAD not in {thread.name for thread in threading.enumerate()}


def test_ctrl_c_while_closing_leaves_at_once(cluster):
    """Nothing would ever be acknowledged here."""
    cluster.move("t", 0, None)
    client = BlockingClient(cluster.client)
    client.produce("t", b"v", partition=0)
    interrupt = ctrl_c_soon()
    with pytest.raises(KeyboardInterrupt):
        client.close()
    interrupt.join()
    assert THREAD not in {thread.name for thread in threading.enumerate()}


def test_inside_an_event_loop_it_is_refused(client, cluster):
    """Connecting and asking alike; from a thread of that loop it works."""

    async def use():
        with pytest.raises(InvalidRequest, match="would stop the event loop"):
            BlockingClient(cluster.client)
        with pytest.raises(InvalidRequest, match="would stop the event loop"):
            client.list_topics()
        return await asyncio.to_thread(client.list_topics)

    assert ["t"] == [topic.name for topic in asyncio.run(use())]


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_in_a_forked_child_it_is_refused(client):
    """There is no thread there; closing does nothing, and the parent goes on."""
    child = os.fork()
    if not child:
        code = 1
        try:
            client.list_topics()
        except InvalidRequest as error:
            client.close()
            client.abandon()
            code = 0 if "connect again in the child" in error.message else 2
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)

    assert 0 == os.waitstatus_to_exitcode(status)
    assert 1 == len(client.list_topics())


def test_who_forgets_to_close_is_warned(cluster):
    """And leaves no thread behind."""
    client = BlockingClient(cluster.client)
    client.publish("t", b"v")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        del client
        gc.collect()

    assert ["ResourceWarning"] == [warning.category.__name__ for warning in caught]
    assert THREAD not in {thread.name for thread in threading.enumerate()}


def test_a_reader_that_nobody_holds_is_closed(client, cluster):
    """As after a loop that was left by `break`."""
    cluster.fill("t", 0, 10)
    for _ in client.read("t", partitions=[0]):
        break
    gc.collect()
    until(lambda: all(reader.is_over for reader in client._client._readers))

    assert 1 == len(client._client._readers)
