"""Records at which a process died, and batches of which only a part counts: no user code sees what it is not to see."""

import datetime as dt
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import ProcessorFailed
from cluster.processing.app import App
from cluster.processing.event import Event
from cluster.processing.handles import State, Table
from cluster.processing.policies import OnError, dead_letter, skip, stop
from cluster.processing.processor import Processor
from cluster.processing.runner import Runner
from cluster.processing.testing import Rehearsal
from cluster.processing.topics import Topic
from cluster.processing.windows import Window
from cluster.processing.work import Batch, Condemned, Work
from cluster.records import Record
from cluster.wire.records import encode_records

WHY = "its process ended by signal 9 (SIGKILL)"


class Order(Event):
    """An order of somebody, at a second."""

    n: int
    who: str = "a"
    at: int = 0


def condemn(t: Rehearsal, stage: str, *offsets: int, input_: int = 0) -> None:
    """Say that a process died at these records of the only partition of an input."""
    t._tasks[stage][0].condemned += [Condemned(input=input_, partition=0, offset=offset, why=WHY) for offset in offsets]


Shop = tuple[App, Topic, Processor, list[int]]


def one_by_one(policy: OnError, *, bad: Callable[[Order], bool] = lambda _: False) -> Shop:
    """Sums; `bad` orders make it raise. The list has the orders that it saw."""
    app, seen = App("shop"), list[int]()
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, to="sums", on_error=policy, name="work")
    def work(order: Order, total: State[int]) -> int:
        total.value += order.n
        if bad(order):
            raise ValueError(WHY)
        seen.append(order.n)
        return total.value

    return app, orders, work, seen


def in_lists(policy: OnError) -> Shop:
    """It takes many at once."""
    app, seen = App("shop"), list[int]()
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, to="sums", on_error=policy, name="work")
    def work(some: list[Order]) -> list[int]:
        seen.extend(order.n for order in some)
        return [order.n for order in some]

    return app, orders, work, seen


def as_bytes(policy: OnError) -> Shop:
    """It takes what was published, undecoded."""
    app, seen = App("shop"), list[int]()
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, to="sums", on_error=policy, name="work")
    def work(value: bytes) -> int:
        seen.append(msgspec.json.decode(value, type=Order).n)
        return seen[-1]

    return app, orders, work, seen


def awaited(policy: OnError) -> Shop:
    """It is async."""
    app, seen = App("shop"), list[int]()
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, to="sums", on_error=policy, name="work", concurrency=3)
    async def work(order: Order) -> int:
        seen.append(order.n)
        return order.n

    return app, orders, work, seen


@pytest.mark.parametrize("shop", [one_by_one, in_lists, as_bytes, awaited])
def test_a_condemned_record_is_a_dead_letter_that_nobody_saw(shop: Callable[[OnError], Shop]) -> None:
    """As it was, with what happened at it; the others are done."""
    app, orders, work, seen = shop(dead_letter(retries=3))
    with app.test(partitions=1) as t:
        condemn(t, "work", 0, 3, 9)
        t.send(orders, *[Order(n, str(n)) for n in range(10)])
        letters = t.records("shop.work.dead")
        headers = {header.name: header.value.decode() for header in letters[1].headers}

        assert [1, 2, 4, 5, 6, 7, 8] == seen == t.read("sums")
        assert [0, 3, 9] == [order.n for order in t.read("shop.work.dead", Order)]
        assert ("orders/0@3", f"HostFailed: {WHY}") == (headers["rr-source"], headers["rr-error"])
        assert {"dead_lettered": 3} == t.counts(work)


def test_it_stops_who_stops_and_is_counted_where_it_is_skipped() -> None:
    """By the policy of the processor, as everything that fails."""
    app, orders, _, seen = one_by_one(stop())
    message = rf"shop\.work version 1 failed at the record of orders/0 at offset 1: HostFailed: {WHY[:20]}"
    with pytest.raises(ProcessorFailed, match=message) as caught, app.test(partitions=1) as t:  # noqa: PT012
        condemn(t, "work", 1)
        t.send(orders, Order(0), Order(1), Order(2))
        t.settle()
    assert ("orders", "0", "1") == tuple(caught.value.metadata[name] for name in ("topic", "partition", "offset"))

    app, orders, work, seen = one_by_one(skip())
    with app.test(partitions=1) as t:
        condemn(t, "work", 1)
        t.send(orders, Order(0), Order(1), Order(2))
        assert [0, 2] == t.read("sums") == [0, 2]
        assert {"skipped": 1} == t.counts(work)
    assert [0, 2] == seen


some_orders = st.lists(st.tuples(st.sampled_from("ab"), st.booleans()), max_size=12)


@pytest.mark.slow
@settings(max_examples=100, deadline=None)
@given(drawn=some_orders, park=st.booleans(), per_work=st.integers(1, 5))
def test_to_be_condemned_is_to_have_failed(drawn: list[tuple[str, bool]], *, park: bool, per_work: int) -> None:
    """State, outputs, counts, letters and parked keys are those of a function that raises at the same records."""
    sent = [Order(n, who) for n, (who, _) in enumerate(drawn)]
    bad = {n for n, (_, is_bad) in enumerate(drawn) if is_bad}
    policy = dead_letter(retries=1, park_key=park)
    found = []
    for told in (False, True):
        raises = (lambda _: False) if told else (lambda order: order.n in bad)
        app, orders, work, _ = one_by_one(policy, bad=raises)
        with app.test(partitions=1, records_per_work=per_work) as t:
            if told:  # of a parked key nothing is ever handled, so no process dies at it
                first = {who: min((n for n in bad if drawn[n][0] == who), default=-1) for who in "ab"}
                condemn(t, "work", *(sorted(first.values()) if park else bad))
            t.send(orders, *sent)
            letters = [
                (
                    letter.key,
                    letter.value,
                    [(h.name, h.value) for h in letter.headers if h.name in {"rr-source", "rr-input"}],
                )
                for letter in t.records("shop.work.dead")
            ]
            found.append((t.read("sums"), t.counts(work), [t.state(work, who) for who in "ab"], letters))

    assert found[0] == found[1]


def test_a_letter_can_be_condemned_in_its_redrive() -> None:
    """Then it goes to the end, and its key stays parked."""
    app, orders, work, seen = one_by_one(dead_letter(retries=0, park_key=True))
    with app.test(partitions=1) as t:
        condemn(t, "work", 0)
        t.send(orders, Order(1), Order(2))
        assert [] == t.read("sums")
        condemn(t, "work", 0, input_=1)
        t.redrive(work)
        assert [] == seen
        assert [1, 2, 1, 2] == [order.n for order in t.read("shop.work.dead", Order)]
        t.redrive(work)
        assert [1, 3] == t.read("sums")


def test_a_window_is_without_it_and_closes_in_time() -> None:
    """Its event time counts, as that of every record that failed."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who", time="at")

    @app.window(orders, tumbling="10s", to="sums", on_error=skip(), name="sums")
    def sums(window: Window, some: list[Order]) -> list[int]:
        return [order.n for order in some if window.key == order.who]

    with app.test(partitions=1) as t:
        condemn(t, "sums", 1, 3)
        t.send(orders, *[Order(n, "a", at * 10**9) for n, at in enumerate((1, 2, 3, 12))])

        assert [0, 2] == t.read("sums")
        assert {"skipped": 2} == t.counts(sums)


def test_joins_tables_and_rekeying_go_on_without_it() -> None:
    """It is in no pair, in no table, and in no topic of others' keys."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")
    others = app.topic("others", Order, key="who")
    prices = app.table("prices", Order, key="who")

    @app.join(orders, others, within="1h", to="pairs", on_error=skip())
    def pairs(left: Order, right: Order) -> int:
        return 10 * left.n + right.n

    @app.processor(orders, to="priced", on_error=skip())
    def priced(order: Order, prices: Table[Order]) -> int:
        price = prices.get()
        return -order.n if price is None else price.n

    @app.processor(orders, key="n", to="by_number", on_error=dead_letter(), name="again")
    def again(order: Order, total: State[int]) -> int:
        total.value += 1
        return order.n

    with app.test(partitions=1, now=dt.datetime(2026, 1, 1, tzinfo=dt.UTC)) as t:
        condemn(t, "pairs", 1)
        condemn(t, "pairs", 0, input_=1)
        condemn(t, "priced", 1, input_=1)
        condemn(t, "again.rekey", 0)
        condemn(t, "again", 1)
        t.send(prices, Order(5), Order(6))
        t.settle()
        t.send(others, Order(1), Order(2))
        t.send(orders, Order(1), Order(2), Order(3))

        assert [12, 32] == sorted(t.read("pairs"))
        assert [5, 5, 5] == t.read("priced")
        assert ([2], [1, 3]) == (t.read("by_number"), [order.n for order in t.read("shop.again.dead", Order)])


def pieces(values: list[int], cuts: list[int], *, count: int | None = None) -> list[Batch]:
    """One stored batch, from offset 100 on, handed over in pieces."""
    payload = encode_records([Record(value=b'{"n":%d}' % n, key=b"a", timestamp_ns=1) for n in values])
    ends = sorted({cut for cut in cuts if 0 < cut < len(values)} | {len(values)})
    return [
        Batch(
            input=0,
            partition=0,
            payload=payload,
            codec=0,
            uncompressed_size=len(payload),
            record_count=len(values) if count is None else count,
            base_offset=100,
            begin=100 + begin,
            end=100 + end,
        )
        for begin, end in zip([0, *ends[:-1]], ends, strict=True)
    ]


@settings(max_examples=50, deadline=None)
@given(values=st.lists(st.integers(0, 9), min_size=1, max_size=8), cuts=st.lists(st.integers(1, 7), max_size=4))
def test_a_batch_in_pieces_is_the_batch(values: list[int], cuts: list[int]) -> None:
    """From `begin` to before `end`: what is cut is done once, in its order, wherever it is cut."""
    _, _, work, seen = one_by_one(stop())
    runner = Runner(work.stages[0], lambda wanted: [None for _ in wanted])
    effects = [
        runner.run(Work(task=0, n=n, now_ns=1, batches=[piece], fired=[], idle=[]))
        for n, piece in enumerate(pieces(values, cuts), 1)
    ]

    assert values == seen
    assert [f"orders/0@{100 + n}".encode() for n in range(len(values))] == [
        output.headers[0][1] for one in effects for output in one.outputs
    ]


def test_a_broken_batch_in_pieces_is_one_letter() -> None:
    """Each piece counts its own records; its bytes are put aside once, with the last."""
    _, _, work, seen = one_by_one(dead_letter())
    runner = Runner(work.stages[0], lambda wanted: [None for _ in wanted])
    effects = [
        runner.run(Work(task=0, n=n, now_ns=1, batches=[piece], fired=[], idle=[]))
        for n, piece in enumerate(pieces([1, 2, 3], [1], count=2), 1)
    ]

    assert ([], [1, 2]) == (seen, [one.counts["corrupt"] for one in effects])
    assert [0, 1] == [len(one.outputs) for one in effects]
