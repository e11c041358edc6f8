"""Keyed state in the hands of user code: what is looked at, set, cleared, taken back, and left alone."""

import datetime as dt
from collections.abc import Callable
from typing import Any, TypedDict

import msgspec
import pytest

from cluster.errors import ProcessorFailed, StateUnreadable
from cluster.processing.app import App
from cluster.processing.binding import default_of
from cluster.processing.context import Ctx
from cluster.processing.event import Event
from cluster.processing.handles import MapState, State
from cluster.processing.policies import skip
from cluster.processing.runner import Runner
from cluster.processing.state import BARE_BYTES_MAX, BYTES_MAX
from cluster.processing.work import Batch, Effects, Work
from cluster.records import Record
from cluster.wire.records import encode_records


class Step(Event):
    """What is to be done for a key."""

    key: str
    do: str


LARGE = BARE_BYTES_MAX * 2


class Bench:
    """One task of a processor, over what it has committed."""

    def __init__(self, define: Callable[..., object], on_error=None) -> None:
        app = App("app")
        steps = app.topic("steps", Step, key="key")
        options = {} if on_error is None else {"on_error": on_error}
        processor = app.processor(steps, to="said", **options)(define)
        self.store: dict[tuple[str, bytes], bytes] = {}
        self.reads: list[tuple[str, bytes]] = []
        self.calls: list[int] = []
        """So many each time."""
        self.runner = Runner(processor.stages[0], self._read)
        self.n = self.offset = 0

    def _read(self, wanted):
        self.reads += wanted
        self.calls.append(len(wanted))
        return [self.store.get(pair) for pair in wanted]

    def run(self, *steps: tuple[str | None, str]) -> Effects:
        """One work of these (key, do), committed."""
        records = [
            Record(value=msgspec.json.encode(Step(key or "", do)), key=None if key is None else key.encode())
            for key, do in steps
        ]
        payload = encode_records(records)
        end = self.offset + len(records)
        batch = Batch(
            input=0,
            partition=0,
            payload=payload,
            codec=0,
            uncompressed_size=len(payload),
            record_count=len(records),
            base_offset=self.offset,
            begin=self.offset,
            end=end,
        )
        effects = self.runner.run(
            Work(task=0, n=self.n + 1, now_ns=7, batches=[batch], fired=[], idle=[]),
        )
        self.n, self.offset = self.n + 1, end
        for change in effects.state:
            if change.value is None:
                del self.store[change.store, change.key]
            else:
                self.store[change.store, change.key] = change.value
        self.runner.committed(self.n)
        return effects


def said(effects: Effects) -> list[object]:
    """What the function returned."""
    return [msgspec.json.decode(output.value) for output in effects.outputs]


def changed(effects: Effects, store: str = "total") -> list[tuple[bytes, object]]:
    """Key and value of the changes of a store."""
    return [
        (change.key, None if change.value is None else msgspec.msgpack.decode(change.value))
        for change in effects.state
        if change.store == store
    ]


def stepping(step: Step, total: State[int], seen: MapState[str, int]) -> str | None:
    """Adds, clears, looks; does what it is told."""
    match step.do:
        case "add":
            total.value += 1
            seen["last"] = total.value
        case "clear":
            total.clear()
            del seen["last"]
        case "zero":
            total.value = 0
        case "fail":
            total.value = 99
            raise ValueError("told to")
    return f"{total.value} {seen.get('last')}" if step.do != "leave" else None


def test_what_was_cleared_is_the_default_at_once() -> None:
    """Within the same work, too; and may be set again."""
    bench = Bench(stepping)
    effects = bench.run(("a", "add"), ("a", "add"), ("a", "clear"), ("a", "add"), ("a", "clear"), ("b", "add"))

    assert ["1 1", "2 2", "0 None", "1 1", "0 None", "1 1"] == said(effects)
    assert [(b"b", 1)] == changed(effects)
    assert [(b"b", 2), (b"a", 1)] == changed(bench.run(("b", "add"), ("a", "add")))
    assert [(b"a", None)] == changed(bench.run(("a", "clear")))


def test_a_default_is_stored_only_where_something_was() -> None:
    """To look does not store, and what was never anything else is nothing."""
    bench = Bench(stepping)

    assert [] == changed(bench.run(("a", "look"), ("a", "zero")))
    bench.run(("a", "add"))
    assert [(b"a", 0)] == changed(bench.run(("a", "zero")))


def test_changes_come_in_the_order_of_the_records() -> None:
    """Whatever the hashes of their keys are: one change for each key."""
    keys = [f"k{number}" for number in range(100)]
    effects = Bench(stepping).run(*((key, "add") for key in keys), *((key, "add") for key in reversed(keys)))

    assert [(key.encode(), 2) for key in keys] == changed(effects)


def test_what_fails_is_taken_back_and_nothing_else() -> None:
    """Of the same key and of others, in a work and over works."""
    bench = Bench(stepping, skip())

    assert ["1 1", "1 1", "2 2"] == said(bench.run(("a", "add"), ("b", "add"), ("a", "fail"), ("a", "add")))
    assert ["1 1"] == said(bench.run(("b", "fail"), ("b", "look")))


def test_a_record_without_a_key_is_to_blame_alone() -> None:
    """Those before it and behind it are done."""
    bench = Bench(stepping, skip())
    effects = bench.run(("a", "add"), (None, "add"), ("a", "add"))

    assert ["1 1", "2 2"] == said(effects)
    assert {"skipped": 1} == effects.counts


def test_large_values_are_encoded_only_where_somebody_looked() -> None:
    """They stay decoded, change in place, and are taken back; nobody who looks at none pays for them."""

    def growing(step: Step, text: State[list[str]], ctx: Ctx) -> int | None:
        if step.do == "leave":
            return None
        text.value.append("x" * LARGE)
        if step.do == "fail":
            raise ValueError(ctx.position)
        return len(text.value)

    bench = Bench(growing, skip())
    assert [1, 2] == said(bench.run(("a", "grow"), ("a", "grow")))
    encoded = []
    store = bench.runner._state.stores["text"]
    encode = store.encode
    store.encode = lambda value: encoded.append(value) or encode(value)
    bench.run(("a", "leave"))
    assert [] == [value for value in encoded if isinstance(value, list)]
    assert [3, 4] == said(bench.run(("a", "grow"), ("a", "fail"), ("a", "grow")))
    assert [5] == said(bench.run(("a", "grow")))
    assert 1 == bench.reads.count(("text", b"a"))


def test_only_state_that_is_looked_at_has_to_decode() -> None:
    """A key whose state is damaged goes on as long as nobody wants it."""
    bench = Bench(stepping)
    bench.store["total", b"a"] = msgspec.msgpack.encode("no number")

    assert [] == changed(bench.run(("a", "leave")))
    with pytest.raises(StateUnreadable, match="state 'total' of key b'a'"):
        bench.run(("a", "add"))


def test_stop_iteration_does_not_end_the_loop() -> None:
    """A function that raises it has failed at its record, and those behind it are not passed over."""

    def careless(step: Step) -> str:
        return next(iter([step.do] if step.do != "fail" else []))

    assert ["x", "y"] == said(Bench(careless, skip()).run(("a", "x"), ("a", "fail"), ("a", "y")))
    with pytest.raises(ProcessorFailed, match="offset 1: RuntimeError: the function raised StopIteration"):
        Bench(careless).run(("a", "x"), ("a", "fail"), ("a", "y"))


def test_a_state_says_what_it_has() -> None:
    """For whoever mistypes."""

    def mistaken(_: Step, total: State[int]) -> int:
        return total.valeu  # type: ignore[attr-defined]

    with pytest.raises(ProcessorFailed, match="State has no 'valeu'; it has `value` and `clear`"):
        Bench(mistaken).run(("a", "x"))


def moody(step: Step, day: State[dt.date], count: State[int], pair: State[tuple[int, str]]) -> str:
    """Sets what it is told to."""
    match step.do:
        case "nothing":
            day.value = None
        case "day":
            day.value = dt.date(2026, 11, 27)
        case "half":
            count.value += 0.5
        case "none":
            count.value = None
        case "pair":
            pair.value = (1, "a") if pair.value is None else (*pair.value, "b")
    return f"{day.value} {count.value} {pair.value}"


def test_none_may_be_set_where_it_is_the_default() -> None:
    """It is read again like every other value, by whoever comes next."""
    bench = Bench(moody)

    assert ["2026-11-27 0 None"] == said(bench.run(("a", "day")))
    assert ["None 0 None"] == said(bench.run(("a", "nothing")))
    bench.runner = Runner(bench.runner.stage, bench._read)
    assert ["None 0 None", "None 0 (1, 'a')"] == said(bench.run(("a", "look"), ("a", "pair")))


@pytest.mark.parametrize("do", ["half", "none"])
def test_a_value_of_another_type_is_the_records_fault(do: str) -> None:
    """Nothing is stored that would not decode: the record that sets it fails, and the task goes on."""
    bench = Bench(moody, skip())

    assert ["None 0 None"] * 2 == said(bench.run(("a", "look"), ("a", do), ("a", "look")))
    assert [] == changed(bench.run(("a", "look")), "count")
    with pytest.raises(ProcessorFailed, match=r"offset 0: TypeError: state 'count' .*: Expected `int`, got"):
        Bench(moody).run(("a", do))


def test_a_value_within_another_is_looked_at_too() -> None:
    """Maps, and what is nested."""

    def careless(step: Step, lists: MapState[str, list[int]]) -> str:
        numbers = lists.get("n", [])
        lists["n"] = [*numbers, 1 if step.do == "good" else "one"]  # type: ignore[list-item]
        return str(len(lists["n"]))

    assert ["1", "2"] == said(Bench(careless, skip()).run(("a", "good"), ("a", "bad"), ("a", "good")))
    with pytest.raises(ProcessorFailed, match=r"TypeError: state 'lists' .*: Expected `int`, got `str` - at `\$\[0\]`"):
        Bench(careless).run(("a", "bad"))


class Picky:
    """Cannot be made of nothing, and says so in its own way."""

    def __init__(self, n: int = 0) -> None:
        if n < 1:
            raise ValueError("from 1")


class Filled(TypedDict):
    """Is made empty, and filled by whoever has it."""

    n: int


def test_a_default_is_made_only_where_it_can_be() -> None:
    """It is of its type, and a type that does not like to be made of nothing has none."""
    kinds = [int, list[int], tuple[int, str], tuple[int, ...], Picky, dt.date, Any, Filled]

    assert [0, [], None, (), None, None, None, {}] == [default_of(kind)() for kind in kinds]


def test_what_is_made_empty_may_be_cleared_though_empty_is_not_its_type() -> None:
    """Its default is never stored; what is set is looked at."""

    def filling(step: Step, filled: State[Filled]) -> None:
        if step.do == "fill":
            filled.value["n"] = 7
        elif step.do == "empty":
            filled.value.pop("n")  # type: ignore[misc]
        elif step.do == "clear":
            filled.clear()

    bench = Bench(filling, skip())
    assert [(b"a", {"n": 7})] == changed(bench.run(("a", "look"), ("a", "fill")), "filled")
    effects = bench.run(("a", "empty"))
    assert ([], {"skipped": 1}) == (changed(effects, "filled"), effects.counts)
    effects = bench.run(("a", "clear"))
    assert ([(b"a", None)], {}) == (changed(effects, "filled"), effects.counts)


def test_state_of_many_calls_is_read_at_once() -> None:
    """Async functions, too, whose calls are made one by one; what nobody looks at is not stored."""

    async def adding(step: Step, total: State[int]) -> int | None:
        if step.do == "leave":
            return None
        total.value += 1
        return total.value

    bench = Bench(adding, skip())

    assert [1, 1, 2] == said(bench.run(("a", "add"), (None, "add"), ("b", "add"), ("c", "leave"), ("a", "add")))
    assert [1, 1, 3] == bench.calls  # what is parked, how far time is, and this
    assert {("total", b"a"), ("total", b"b")} == {place for place in bench.store if place[0] == "total"}
    bench.runner.close()


def test_what_is_kept_in_memory_is_bounded_in_bytes() -> None:
    """Large values of many keys would take all the memory that there is long before they were many."""

    def filling(step: Step, text: State[str]) -> None:
        text.value = step.do * (BYTES_MAX // 40)

    bench = Bench(filling)
    for n in range(100):
        bench.run((f"k{n}", "x"))
        kept = [store._before for store in bench.runner._state.stores.values()]
        assert sum(len(encoded or b"") for before in kept for encoded in before.values()) <= 2 * BYTES_MAX
    assert 100 == sum(place[0] == "text" for place in bench.store)
