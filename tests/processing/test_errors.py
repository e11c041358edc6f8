"""What becomes of a record that user code raises for: nothing is lost, nothing is done twice, and it says where."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.errors import InvalidApp, ProcessorFailed, StateUnreadable, TriesLeft
from cluster.processing.app import App
from cluster.processing.context import Ctx
from cluster.processing.event import Event
from cluster.processing.handles import State
from cluster.processing.policies import OnError, dead_letter, describe, skip, stop
from cluster.processing.processor import Processor
from cluster.processing.rehearsal import CRASHES
from cluster.processing.runner import Runner
from cluster.processing.topics import Topic
from cluster.processing.work import Batch, Fired, Work
from cluster.records import Record
from cluster.types import Codec
from cluster.wire.records import encode_records


class Order(Event):
    """An order; a negative amount is more than the function can bear."""

    n: int
    who: str
    amount: int = 1


class World:
    """What is outside of the function, and may be mended."""

    mended = False
    calls = 0


def counting(policy: OnError, *, many: bool = False) -> tuple[App, Topic, Processor, World]:
    """An app that sums amounts by key, or gives out numbers, and raises for negative ones until it is mended."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")
    world = World()

    def look(order: Order) -> None:
        world.calls += 1
        if order.amount < 0 and not world.mended:
            raise ValueError(f"order {order.n} is bad")

    if many:

        @app.processor(orders, to="seen", on_error=policy, name="work")
        def of_many(orders: list[Order]) -> list[int]:
            for order in orders:
                look(order)
            return [order.n for order in orders]

        return app, orders, of_many, world

    @app.processor(orders, to="seen", on_error=policy, name="work")
    def of_one(order: Order, total: State[int]) -> int:
        total.value += order.amount
        look(order)
        return order.n

    return app, orders, of_one, world


def failing(policy: OnError) -> tuple[Runner, Callable[[int, int, int], Work]]:
    """Of three orders the second is bad: whoever runs them, and what they are handed, from one to another offset."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, to="seen", on_error=policy)
    def work(order: Order) -> int:
        if order.n == 1:
            raise ValueError(f"order {order.n} is bad")
        return order.n

    payload = encode_records([Record(value=msgspec.json.encode(Order(n, "a"))) for n in range(3)])

    def handed(begin: int, end: int, failures: int) -> Work:
        batch = Batch(
            input=0,
            partition=0,
            payload=payload,
            codec=Codec.NONE,
            uncompressed_size=len(payload),
            record_count=3,
            base_offset=0,
            begin=begin,
            end=end,
        )
        return Work(task=0, n=1, now_ns=9, batches=[batch], fired=[], idle=[], failures=failures)

    return Runner(app.processors["work"].stages[-1], lambda places: [None] * len(places)), handed


@pytest.mark.parametrize("many", [False, True])
def test_stop_says_what_and_where(*, many: bool) -> None:
    """The work fails at the one record that is to blame, with its place and the traceback; nothing of it is kept."""
    app, orders, work, world = counting(stop(), many=many)

    message = r"shop\.work version 1 failed at the record of orders/0 at offset 5: ValueError: order 5 is bad"
    with pytest.raises(ProcessorFailed, match=message) as caught, app.test(partitions=1) as t:  # noqa: PT012
        t.send(orders, *[Order(n, "a", -1 if n == 5 else 1) for n in range(20)])
        t.settle()

    assert ("shop.work", "1", "orders", "0", "5") == tuple(
        caught.value.metadata[name] for name in ("processor", "version", "topic", "partition", "offset")
    )
    assert "in look\n" in caught.value.metadata["traceback"]
    assert all(not task.store for task in t._tasks_of(work))
    world.mended = True
    assert list(range(20)) == t.read("seen")


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("bad", [0, 7, 19])
def test_dead_letters_have_all_that_is_known(*, many: bool, bad: int) -> None:
    """The record as it was, why, and from where; the others are done, once."""
    app, orders, work, _ = counting(dead_letter(retries=2), many=many)
    with app.test(partitions=1) as t:
        t.send(orders, *[Order(n, "a", -1 if n == bad else 1) for n in range(20)])

        assert [n for n in range(20) if n != bad] == t.read("seen")
        (letter,) = t.records("shop.work.dead")
        headers = {header.name: header.value.decode() for header in letter.headers}
        assert (b"a", Order(bad, "a", -1)) == (letter.key, t.read("shop.work.dead", Order)[0])
        assert f"orders/0@{bad}" == headers["rr-source"]
        assert f"ValueError: order {bad} is bad" == headers["rr-error"]
        assert ("shop.work", "1") == (headers["rr-processor"], headers["rr-version"])
        assert "in look\n" in headers["rr-traceback"]
        assert "in _step\n" not in headers["rr-traceback"], "it begins with what its author wrote"
        assert {"dead_lettered": 1} == t.counts(work)
        if not many:
            assert 19 == t.state(work, "a")


def test_a_poison_record_first_in_the_log_holds_nothing_up() -> None:
    """Bytes that are no event are put aside without the function's being called for them."""
    app, orders, work, world = counting(skip())
    with app.test(partitions=1) as t:
        t.send(orders, b"\xff no json", key="a")
        t.send(orders, b'{"n": 1, "who": "a", "amount": "many"}', key="a")
        t.send(orders, Order(2, "a"))

        assert [2] == t.read("seen")
        assert {"skipped": 2} == t.counts(work)
        assert 1 == world.calls


def test_a_record_without_a_key_has_no_state() -> None:
    """It is the record that is to blame, and it says so."""
    app, orders, work, _ = counting(dead_letter())
    with app.test(partitions=1) as t:
        t.send("orders", b'{"n": 1, "who": "a"}')
        t.send(orders, Order(2, "a"))

        assert [2] == t.read("seen")
        (letter,) = t.records("shop.work.dead")
        assert b"no key" in {h.name: h.value for h in letter.headers}["rr-error"]
        assert 1 == t.state(work, "a")


def test_retries_are_of_the_record_alone() -> None:
    """What fails twice and then goes well is done once."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")
    failures = iter([True, True, True])

    @app.processor(orders, to="seen", on_error=stop(retries=3))
    def work(order: Order, total: State[int]) -> int:
        total.value += 1
        if order.n == 3 and next(failures, False):
            raise TimeoutError("busy")
        return total.value

    with app.test(partitions=1) as t:
        t.send(orders, *[Order(n, "a") for n in range(6)])

        assert [1, 2, 3, 4, 5, 6] == t.read("seen")
        assert 6 == t.state(work, "a")


def test_a_runner_waits_for_nothing_between_attempts() -> None:
    """It says at what it failed, how often, and how long to wait; whoever hands over works counts for it."""
    runner, work = failing(dead_letter(retries=2, backoff="1s", backoff_max="1h"))
    for failures in (0, 1):
        with pytest.raises(TriesLeft, match=r"orders/0 at offset 1: ValueError: order 1 is bad") as caught:
            runner.run(work(1, 2, failures) if failures else work(0, 3, 0))
        said = caught.value.metadata
        assert ("0", "0", "1") == (said["input"], said["partition"], said["offset"])
        assert (str(failures + 1), str((failures + 1) * 10**9)) == (said["failures"], said["wait_ns"])
        assert "in work\n" in said["traceback"]
    effects = runner.run(work(1, 2, 2))
    assert {"dead_lettered": 1} == effects.counts
    assert [1, 1] == [len(runner.run(work(first, first + 1, 0)).outputs) for first in (0, 2)]


def test_a_timer_that_fails_is_tried_again_later() -> None:
    """It says which of those that fired it was; when it was tried often enough the work fails."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, on_error=skip(retries=1))
    def work(_order: Order, ctx: Ctx) -> None:
        ctx.timer("ring", after="1s")

    @work.timer("ring")
    def ring(ctx: Ctx) -> None:
        if ctx.key == "b":
            raise RuntimeError("no bell")

    runner = Runner(app.processors["work"].stages[-1], lambda places: [None] * len(places))
    a, b = (Fired(key=key, name="ring", at_ns=5) for key in (b"a", b"b"))
    with pytest.raises(TriesLeft, match="'ring' of key b'b': RuntimeError: no bell") as caught:
        runner.run(Work(task=0, n=1, now_ns=9, batches=[], fired=[a, b], idle=[]))
    assert ("1", "1") == (caught.value.metadata["fired"], caught.value.metadata["failures"])
    runner.run(Work(task=0, n=1, now_ns=9, batches=[], fired=[a], idle=[]))
    with pytest.raises(ProcessorFailed) as stopped:
        runner.run(Work(task=0, n=2, now_ns=9, batches=[], fired=[b], idle=[], failures=1))
    assert not isinstance(stopped.value, TriesLeft)


@pytest.mark.parametrize("wrong", ["soon", "2d", -1])
def test_a_policy_that_makes_no_sense_is_refused(wrong: str | int) -> None:
    """A wait is a duration, of a day at most."""
    with pytest.raises(InvalidApp, match="on_error"):
        skip(backoff_max=wrong) if isinstance(wrong, str) else skip(retries=wrong)


def test_a_policy_in_words() -> None:
    """As it is told when somebody asks what an app does."""
    assert "dead_letter(d, retries=3, backoff=100ms to 10s, park_key)" == describe(dead_letter("d", park_key=True))
    assert "skip(retries=1, backoff=0s)" == describe(skip(retries=1, backoff="0s"))
    assert "stop" == describe(stop())


def test_state_that_no_longer_decodes_is_not_the_records_fault() -> None:
    """The work fails and names the state, whatever `on_error` says: no record is put aside for it."""
    app, orders, _, _ = counting(dead_letter())

    with pytest.raises(StateUnreadable, match="'total' of key b'a' does not decode"), app.test(partitions=1) as t:  # noqa: PT012
        t._tasks["work"][0].store["total", b"a"] = b"\xa4text"
        t.send(orders, Order(1, "a"))
        t.settle()

    assert [] == t._topics["shop.work.dead"].order


def test_what_state_cannot_hold_is_an_error_of_the_record() -> None:
    """A value that cannot be encoded is found though it is noticed at the end of the batch."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, to="seen", on_error=dead_letter())
    def work(order: Order, last: State[dict[str, int]]) -> int:
        last.value["n"] = object() if order.n == 2 else order.n
        return order.n

    with app.test(partitions=1) as t:
        t.send(orders, *[Order(n, str(n)) for n in range(5)])

        assert [0, 1, 3, 4] == t.read("seen")
        assert [Order(2, "2")] == t.read("shop.work.dead", Order)
        assert ({"n": 4}, None) == (t.state(work, "4"), t.state(work, "2"))


def test_what_a_topic_does_not_hold_is_not_written() -> None:
    """A function that returns something else than its topic holds is told so."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")
    app.topic("others", Order, key="who")

    @app.processor(orders, to="others")
    def work(order: Order):
        return order.n

    with pytest.raises(ProcessorFailed, match="others holds Order, not int"), app.test() as t:  # noqa: PT012
        t.send(orders, Order(1, "a"))
        t.settle()


def test_a_timer_that_fails_stops_the_task() -> None:
    """There is no record to put aside, so nothing is passed over."""
    app = App("shop")
    orders = app.topic("orders", Order, key="who")

    @app.processor(orders, on_error=skip())
    def work(order: Order, total: State[int], ctx: Ctx) -> None:
        total.value += order.amount
        ctx.timer("ring", after="1s", clock="processing")

    @work.timer("ring")
    def ring(total: State[int]) -> None:
        raise RuntimeError(f"no bell at {total.value}")

    with pytest.raises(ProcessorFailed, match="'ring' of key b'a': RuntimeError: no bell at 1"), app.test() as t:  # noqa: PT012
        t.send(orders, Order(1, "a"))
        t.advance("1s")


def test_a_letter_that_fails_again_is_followed_by_those_of_its_key() -> None:
    """Though nobody knew of them: code that did not park has put them there. What comes then waits, too."""
    app, orders, work, _ = counting(dead_letter(retries=0))
    with app.test(partitions=1) as t:
        t.send(orders, Order(0, "a", -1), Order(1, "a", -1), Order(2, "b", -1))
        letters = t.records("shop.work.dead")
    app, orders, work, world = counting(dead_letter(retries=0, park_key=True))
    with app.test(partitions=1) as t:
        for n, letter in enumerate(letters):
            value = msgspec.json.encode(Order(n, "ab"[n == 2], -1 if n == 0 else 1))
            t.send("shop.work.dead", value, key=letter.key, headers={h.name: h.value for h in letter.headers})
        t.redrive(work)
        t.send(orders, Order(3, "a"), Order(4, "b"))
        assert [2, 4] == t.read("seen"), "of the other key"
        world.mended = True
        t.redrive(work)
        t.send(orders, Order(5, "a"))
        assert [2, 4, 0, 1, 3, 5] == t.read("seen")


orders_lists = st.lists(
    st.builds(Order, n=st.just(0), who=st.sampled_from("abc"), amount=st.sampled_from([1, 1, 1, -1])), max_size=30
)
faults = st.lists(st.sampled_from(["", *CRASHES]), max_size=6)


@pytest.mark.slow
@settings(max_examples=80, deadline=None)
@given(orders_=orders_lists, faults=faults, early=st.integers(0, 30), mended=st.booleans())
def test_parked_keys_keep_their_order(*, orders_: list[Order], faults: list[str], early: int, mended: bool) -> None:
    """From the first failure of a key on all of its records wait; a redrive after the fix does them in their order."""
    app, orders, work, world = counting(dead_letter(retries=0, park_key=True))
    sent = [Order(n, order.who, order.amount) for n, order in enumerate(orders_)]
    with app.test(partitions=2, records_per_work=4) as t:
        crashes = iter(faults)
        for first in range(0, len(sent), 4):
            t.send(orders, *sent[first : first + 4])
            t.step()
            place = next(crashes, "")
            if place:
                t.crash(work, before=place)
            if first <= early < first + 4:
                t.redrive(work)  # nothing is mended yet: all that fails again waits again, in its order
        done = t.read("seen")
        expected = {who: [] for who in "abc"}
        for who in "abc":
            for order in sent:
                if order.who == who:
                    if order.amount < 0:
                        break
                    expected[who].append(order.n)
        assert expected == {who: [n for n in done if sent[n].who == who] for who in "abc"}
        world.mended = mended
        t.redrive(work)
        assert not mended or [] == [n for n in range(len(sent)) if n not in t.read("seen")]
        world.mended = True
        t.redrive(work)
        done = t.read("seen")
        for who in "abc":
            assert [order.n for order in sent if order.who == who] == [n for n in done if sent[n].who == who]
            assert (t.state(work, who) or 0) == sum(order.amount for order in sent if order.who == who)
        assert all(("~parked", b"") not in task.store for task in t._tasks_of(work))
