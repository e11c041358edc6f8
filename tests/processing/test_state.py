"""Keyed state in the hands of user code: what is looked at, set, cleared, taken back, and left alone."""

from collections.abc import Callable

import msgspec
import pytest

from cluster.errors import ProcessorFailed, StateUnreadable
from cluster.processing import state
from cluster.processing.app import App
from cluster.processing.context import Ctx
from cluster.processing.event import Event
from cluster.processing.handles import MapState, State
from cluster.processing.policies import skip
from cluster.processing.runner import Runner
from cluster.processing.state import BARE_BYTES_MAX, KeyedState
from cluster.processing.work import Batch, Effects, StateChange, Work
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
        self.runner = Runner(processor.stages[0], self._read)
        self.n = self.offset = 0

    def _read(self, wanted):
        self.reads += wanted
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


def test_what_is_not_committed_stays_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are too many values all others go, and are read again when they are wanted."""
    monkeypatch.setattr(state, "CELLS_MAX", 2)
    reads: list[tuple[str, bytes]] = []

    def read(places):
        reads.extend(places)
        return [None] * len(places)

    keyed = KeyedState(read)
    store = keyed.store("total", int, int, State)
    for cell in store.hand_out([b"a", b"b", b"b", b"c"]):
        if cell.key != b"c":
            cell.value += 1
    keyed.settle()
    assert [StateChange("total", b"a", b"\x01"), StateChange("total", b"b", b"\x02")] == keyed.take_changes(1)

    keyed.committed(0)
    assert [1, 2, 0] == [cell.value for cell in store.hand_out([b"a", b"b", b"c"])]
    keyed.settle()
    assert [] == keyed.take_changes(2)
    keyed.committed(2)
    store.hand_out([b"a"])
    assert [b"a", b"b", b"c", b"c", b"a"] == [key for _, key in reads]


@pytest.mark.parametrize("kind", [int, int | None, float, list[int], dict[str, int], str])
def test_one_key_many_times_is_one_change(kind) -> None:
    """In several attempts, the last of which is taken back; whatever its type is."""
    keyed = KeyedState(lambda places: [None] * len(places))
    store = keyed.store("any", kind, lambda: None, State)
    value = msgspec.convert({list: [1], dict: {"a": 1}, str: "1"}.get(getattr(kind, "__origin__", kind), 1), kind)
    for kept in (True, True, False):
        first, second, other = store.hand_out([b"a", b"a", b"b"])
        assert first is second
        first.value = value if kept else None
        assert other.value is None
        if kept:
            keyed.settle()
        else:
            keyed.roll_back()
    assert value == store.cell(b"a").value
    assert [StateChange("any", b"a", msgspec.msgpack.encode(value))] == keyed.take_changes(1)


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
