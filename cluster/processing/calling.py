"""Calling a plain function: in a tight loop, or once for many records.

What is injected comes in columns beside the events, so that one loop serves every signature and has few steps for each
record. Where an attempt fails, `Draft.place` says at which record, but for functions that take many.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import repeat
from typing import Any, cast

from cluster.errors import InvalidRequest
from cluster.processing.binding import Binding, default_of, element, is_many, view_of
from cluster.processing.context import Ctx
from cluster.processing.draft import Draft, Part
from cluster.processing.handles import MapState, State, Table
from cluster.processing.state import KeyedState
from cluster.processing.work import Fired


def table_store(name: str) -> str:
    """The store that keeps a table."""
    return f"~table.{name}"


class Surroundings:
    """What the handles of one task are made of."""

    def __init__(
        self, state: KeyedState, draft: Draft, ctx: Ctx, tables: dict[str, str], mine: Callable[[bytes], bool]
    ) -> None:
        self.state = state
        self.draft = draft
        self.ctx = ctx
        self._tables = tables
        """Parameter → table."""
        self._mine = mine

    def branch(self, draft: Draft, ctx: Ctx) -> "Surroundings":
        """For calls that run beside others: the same state, another draft."""
        return Surroundings(self.state, draft, ctx, self._tables, self._mine)

    def arguments(self, binding: Binding) -> "Arguments":
        """What a function is handed."""
        columns: list[Column] = []
        for wanted in binding.injected:
            if wanted.kind is Ctx:
                columns.append(partial(_always, self.ctx))
            elif wanted.kind is State:
                default = default_of(wanted.value)
                kind = wanted.value | None if default() is None else wanted.value  # as it was, it may become again
                columns.append(self.state.store(wanted.name, kind, default, State).hand_out)
            elif wanted.kind is MapState:
                columns.append(_pointing(MapState(self.state.store(wanted.name, wanted.value | None))))
            else:
                name = self._tables[wanted.name]
                store = self.state.store(table_store(name), wanted.value | None)
                columns.append(_pointing(Table(name, store, self._mine)))
        return Arguments(columns, want_key=any(wanted.kind is not Ctx for wanted in binding.injected))


Column = Callable[[Sequence[bytes]], Iterable[Any]]
"""From the keys of some records to what one parameter is at each of them, to be taken one after another."""


def _always(ctx: Ctx, _keys: Sequence[bytes]) -> Iterable[Any]:
    return repeat(ctx)


def _pointing(handle: MapState[Any, Any] | Table[Any]) -> Column:
    """The same handle each time, pointed at the key when it is its turn."""
    return partial(map, handle._at)  # noqa: SLF001  users have no such method


class Arguments:
    """The injected arguments of one function, as columns. `want_key`: a record without a key is a fault."""

    def __init__(self, columns: Sequence[Column], *, want_key: bool) -> None:
        self._columns = columns
        self.want_key = want_key

    def columns(self, keys: Sequence[bytes | None]) -> list[Iterable[Any]]:
        """For the records with these keys, all of which have one if `want_key`."""
        return [column(cast("Sequence[bytes]", keys)) for column in self._columns]

    def at(self, key: bytes | None) -> list[Any]:
        """For one call. InvalidRequest: there is no key."""
        if key is None and self.want_key:
            raise no_key()
        return [next(iter(column)) for column in self.columns((key,))]


def no_key(what: str = "keyed state") -> InvalidRequest:
    """The fault of a record without a key, where `what` needs one."""
    return InvalidRequest(
        f"the record has no key, and {what} needs one: whoever publishes gives it one, or the processor makes it, with "
        "`key=`, of a field of a topic that is declared without"
    )


class Calls:
    """The operator of a plain function, with its timers."""

    def __init__(self, binding: Binding, timers: dict[str, Binding], surroundings: Surroundings, event: Any) -> None:
        self._function = binding.function
        self._draft = surroundings.draft
        self._arguments = surroundings.arguments(binding)
        self._timers = {name: (timer.function, surroundings.arguments(timer)) for name, timer in timers.items()}
        self._many = is_many(binding.leading[0])
        self._view = view_of(binding.leading[0], event)
        self._raw = element(binding.leading[0]) is bytes
        self.knows_place = not self._many

    def take(self, part: Part, first: int, end: int) -> None:
        """Call the function for the records from `first` to before `end`."""
        whole = first == 0 and end == len(part.keys)
        given = part.columns.values if self._raw else part.events
        events = given if whole else given[first:end]
        if self._many:
            self._draft.at_record(part, end - 1)
            result = self._function(self._view(events), *self._arguments.at(None))
            if result is not None:
                self._draft.emit_result(result)
            return
        keys = part.keys if whole else part.keys[first:end]
        if self._arguments.want_key and not all(keys) and None in keys:
            keys = keys[: keys.index(None)]
        self._draft.at_record(part, first)
        self._call(events, keys)
        if len(keys) < len(events):
            raise no_key()

    def fire(self, fired: Fired) -> None:
        """Call the function of a timer. LookupError: the code that set it had one, and this has none."""
        if fired.name not in self._timers:
            raise LookupError(
                f"the code has no function for timer {fired.name!r} any more: deploy code with one, or a new version"
            )
        function, arguments = self._timers[fired.name]
        self._draft.at_timer(fired)
        result = function(*arguments.at(fired.key))
        if result is not None:
            self._draft.emit_result(result)

    def _call(self, events: Sequence[Any], keys: Sequence[bytes | None]) -> None:
        """The tight loop: `map` takes what it hands over from the columns, and calls."""
        draft = self._draft
        place = draft.place
        end = place + min(len(events), len(keys))
        for result in map(self._function, events, *self._arguments.columns(keys)):
            if result is not None:
                draft.emit_result(result)
            place += 1
            draft.place = place
        if place < end:
            raise RuntimeError("the function raised StopIteration")  # which ends a `map` as if there were no more
