"""Records whose decoding raises: whatever it is, `on_error` says what becomes of them, and nobody dies at them."""

from collections.abc import Iterator

import pytest

from cluster.connectors.contract import Arrival, Arrived
from cluster.errors import ProcessorFailed
from cluster.processing.app import App
from cluster.processing.event import Event
from cluster.processing.handles import State, Table
from cluster.processing.outside.background import Background
from cluster.processing.policies import OnError, dead_letter, skip, stop
from cluster.processing.processor import Processor
from cluster.processing.runner import Runner
from cluster.processing.topics import Topic
from cluster.processing.work import Condemned, Work
from tests.processing.outside.stages import ToldSink, ToldSinkOptions, ToldSource, capture, delivery, nothing, until
from tests.processing.outside.stages import work as some

DEEP = b"[" * 3000 + b"]" * 3000
WHY = "its process ended by signal 9 (SIGKILL)"
TIMES: dict[int, object] = {}
"""Of checked orders by their numbers: what their class makes of them."""


class Order(Event):
    """An order of somebody."""

    n: int
    who: str = "a"
    at: int = 0
    more: object = None


class Checked(Event):
    """It has its own mind about what it may hold; `end` is more than a process can bear."""

    n: int
    who: str = "a"
    at: int = 0

    def __post_init__(self) -> None:
        """Raise for a negative number."""
        assert self.n >= 0, f"{self.n} is negative"
        if self.n == 66:
            raise SystemExit("enough")
        if self.n == 77:
            next(iter(()))
        self.at = TIMES.get(self.n, self.at)  # type: ignore[assignment]


def deep(n: int) -> bytes:
    """An order with something in it that is nested too deeply."""
    return b'{"n": %d, "more": %s}' % (n, DEEP)


BAD = [
    (Order, deep(9), "RecursionError"),
    (Checked, b'{"n": -9}', "AssertionError: -9 is negative"),
    (Checked, b'{"n": 77}', "StopIteration"),
]


def shop(policy: OnError, kind: type[Event], *, time: str = "") -> tuple[App, Topic, Processor]:
    """Sums of orders by customer."""
    app = App("shop")
    orders = app.topic("orders", kind, key="who", time=time)

    @app.processor(orders, to="sums", on_error=policy, name="work")
    def work(order: kind, total: State[int]) -> int:
        total.value += order.n
        return total.value

    return app, orders, work


@pytest.fixture
def background() -> Iterator[Background]:
    """Closed with the test."""
    made = Background()
    yield made
    made.close()


@pytest.mark.parametrize(("kind", "bad", "why"), BAD)
def test_a_record_that_cannot_be_decoded_is_treated_as_on_error_says(kind: type[Event], bad: bytes, why: str) -> None:
    """Whatever its decoding raises."""
    for policy, counts in ((skip(), "skipped"), (dead_letter(), "dead_lettered")):
        app, orders, work = shop(policy, kind)
        with app.test(partitions=1) as t:
            t.send(orders, b'{"n": 1}', bad, b'{"n": 2}', key=b"a")
            assert [1, 3] == t.read("sums")
            assert {counts: 1} == t.counts(work)
            if counts == "dead_lettered":
                (letter,) = t.records("shop.work.dead")
                assert why in {h.name: h.value.decode() for h in letter.headers}["rr-error"]

    app, orders, _ = shop(stop(), kind)
    with pytest.raises(ProcessorFailed, match=f"at offset 1: {why}"), app.test(partitions=1) as t:  # noqa: PT012
        t.send(orders, b'{"n": 1}', bad, b'{"n": 2}', key=b"a")
        t.settle()


@pytest.mark.parametrize(("kind", "bad", "why"), BAD)
def test_so_is_one_of_a_table_or_for_another_key(kind: type[Event], bad: bytes, why: str) -> None:
    """Tables keep what they had, and nothing goes on under another key."""
    app = App("shop")
    orders = app.topic("orders", kind, key="who")
    prices = app.table("prices", kind, key="who")

    @app.processor(orders, to="priced", on_error=skip())
    def priced(order: kind, prices: Table[kind]) -> int:
        price = prices.get()
        return -order.n if price is None else price.n

    @app.processor(orders, key="n", to="by_number", on_error=dead_letter(), name="again")
    def again(order: kind) -> int:
        return order.n

    with app.test(partitions=1) as t:
        t.send(prices, b'{"n": 5}', bad, key=b"a")
        t.settle()
        t.send(orders, b'{"n": 1}', bad, b'{"n": 2}', key=b"a")
        assert ([5, 5], [1, 2]) == (t.read("priced"), t.read("by_number"))
        (letter,) = t.records("shop.again.dead")
        assert (bad, True) == (letter.value, any(why in h.value.decode() for h in letter.headers))


@pytest.mark.parametrize(("kind", "bad"), [(kind, bad) for kind, bad, _ in BAD])
def test_so_is_a_letter_that_is_redriven(kind: type[Event], bad: bytes) -> None:
    """It goes to the end again; one whose headers are no text is nobody's, and passed over."""
    app, orders, work = shop(dead_letter(), kind)
    with app.test(partitions=1) as t:
        t.send(orders, bad, key=b"a")
        t.settle()
        t.send("shop.work.dead", b"foreign", headers={"rr-processor": b"\xff"})
        t.redrive(work)
        t.redrive(work)
        assert [bad, b"foreign", bad, bad] == [letter.value for letter in t.records("shop.work.dead")]


def test_so_is_one_that_a_sink_reads_or_a_source_brings(background: Background) -> None:
    """Sinks decode what has no type, and sources what others look into."""
    sink = ToldSink()
    runner, _ = delivery(ToldSinkOptions(sink=sink), background, dead_letter())
    effects = runner.run(some(1, b"1", DEEP, b"2"))
    assert ([[1], [2]], [DEEP]) == ([values for values, _ in sink.batches], [out.value for out in effects.outputs])
    runner.close()

    source = ToldSource()
    looking, _ = capture(source, background, {}, on_error=skip(), looks=True)
    source.steps.append(Arrived(records=[Arrival(value=value) for value in (b"1", DEEP, b"2")], cursor=b"c"))
    until(lambda: len(source.cursors) == 2)
    effects = looking.run(nothing(n=1))
    assert ([b"1", b"2"], {"skipped": 1}) == ([out.value for out in effects.outputs], effects.counts)
    looking.close()


def test_what_its_class_makes_of_its_time_is_told_too(background: Background) -> None:
    """A time that is none; and a tombstone, which has no field, has the time of its record."""
    TIMES[3] = "soon"
    app, orders, work = shop(skip(), Checked, time="at")
    with app.test(partitions=1) as t:
        t.send(orders, b'{"n": 1}', b'{"n": 3}', b'{"n": 2}', key=b"a")
        assert ([1, 3], {"skipped": 1}) == (t.read("sums"), t.counts(work))

    sink = ToldSink()
    runner, _ = delivery(ToldSinkOptions(sink=sink), background, event=Checked, time="at")
    runner.run(some(1, b'{"n": 1}', b""))
    assert [[Checked(1), None]] == [values for values, _ in sink.batches]
    runner.close()


class Greedy(int):
    """A number whose reading takes more memory than there is."""

    def __int__(self) -> int:
        raise MemoryError


def test_no_record_is_to_blame_for_memory_that_is_not_there() -> None:
    """Its time is not read, so nothing is done: it is, where there is more."""
    TIMES[4] = Greedy(1)
    _, _, work = shop(skip(), Checked, time="at")
    runner = Runner(work.stages[0], lambda wanted: [None for _ in wanted])
    with pytest.raises(MemoryError):
        runner.run(some(1, b'{"n": 4}', b'{"n": 5}'))


def test_a_condemned_record_is_not_even_decoded() -> None:
    """The process died while its value was decoded: it would die again. Its time counts if it can be had without."""
    for policy, counts in ((skip(), "skipped"), (dead_letter(), "dead_lettered")):
        _, _, work = shop(policy, Checked, time="at")
        runner = Runner(work.stages[0], lambda wanted: [None for _ in wanted])
        batch = some(1, b'{"n": 1, "at": 1000000000}', b'{"n": 66, "at": 9000000000}').batches[0]
        condemned = [Condemned(input=0, partition=0, offset=1, why=WHY)]
        effects = runner.run(Work(task=0, n=1, now_ns=1, batches=[batch], fired=[], idle=[], condemned=condemned))
        assert {counts: 1} == effects.counts
        assert effects.watermark_ns == 9 * 10**9 - work.stages[0].spec.inputs[0].disorder_ns

    app, orders, work = shop(dead_letter(), Checked)
    with app.test(partitions=1) as t:
        task = t._tasks["work"][0]
        task.condemned.append(Condemned(input=0, partition=0, offset=0, why=WHY))
        t.send(orders, b'{"n": 66}', b'{"n": 1}', key=b"a")
        assert [1] == t.read("sums")
        task.condemned.append(Condemned(input=1, partition=0, offset=0, why=WHY))
        t.redrive(work)
        assert [b'{"n": 66}'] * 2 == [letter.value for letter in t.records("shop.work.dead")]


def test_a_class_that_changes_its_mind_is_to_blame() -> None:
    """Decoded once more for another attempt, it raises."""
    times = iter(range(3))

    class Moody(Event):
        """It is right once."""

        n: int
        who: str = "a"

        def __post_init__(self) -> None:
            """Raise the next time."""
            if self.n == 7:
                assert next(times) < 1, "not again"

    app, seen = App("shop"), list[int]()
    orders = app.topic("orders", Moody, key="who")

    @app.processor(orders, to="sums", on_error=dead_letter(retries=2), name="work")
    def work(order: Moody) -> int:
        seen.append(order.n)
        if order.n == 7:
            raise ValueError("bad")
        return order.n

    with app.test(partitions=1) as t:
        t.send(orders, b'{"n": 7}', b'{"n": 1}', key=b"a")
        assert ([1], [7, 1]) == (t.read("sums"), seen)
        assert {"dead_lettered": 1} == t.counts(work)
