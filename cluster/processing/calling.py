"""Calling a plain function: in a tight loop, or once for many records.

What is injected are handles that live as long as the processor; the loop points them at each record's key and calls.
Where an attempt fails, `Draft.place` says at which record, but for functions that take many.
"""

from collections.abc import Callable, Sequence
from itertools import repeat
from typing import Any, cast

from cluster.errors import InvalidRequest
from cluster.processing.binding import Binding, default_of, element, is_many
from cluster.processing.context import Ctx
from cluster.processing.draft import Draft, Part
from cluster.processing.handles import MapState, State, Table
from cluster.processing.state import KeyedState, Store
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
        """New handles for a function."""
        handles: list[Any] = []
        states: list[tuple[State[Any], Store]] = []
        keyed: list[Any] = []
        for wanted in binding.injected:
            if wanted.kind is Ctx:
                handles.append(self.ctx)
            elif wanted.kind is State:
                handle = State[Any]()
                states.append((handle, self.state.store(wanted.name, wanted.value, default_of(wanted.value))))
                handles.append(handle)
            elif wanted.kind is MapState:
                keyed.append(MapState(self.state.store(wanted.name, wanted.value | None)))
                handles.append(keyed[-1])
            else:
                name = self._tables[wanted.name]
                keyed.append(Table(name, self.state.store(table_store(name), wanted.value | None), self._mine))
                handles.append(keyed[-1])
        return Arguments(tuple(handles), tuple(states), tuple(keyed))


class Arguments:
    """The injected arguments of one function."""

    __slots__ = ("handles", "keyed", "states")

    def __init__(
        self, handles: tuple[Any, ...], states: tuple[tuple[State[Any], Store], ...], keyed: tuple[Any, ...]
    ) -> None:
        self.handles = handles
        self.states = states
        self.keyed = keyed

    @property
    def want_key(self) -> bool:
        """Whether a record without a key is a fault."""
        return bool(self.states or self.keyed)

    def load(self, keys: Sequence[bytes | None]) -> None:
        """Read what will be wanted, in one go for each store."""
        wanted = set(keys)
        wanted.discard(None)
        for _, store in self.states:
            store.load(cast("set[bytes]", wanted))

    def point(self, key: bytes | None) -> None:
        """The next call is for this key."""
        if key is None:
            raise InvalidRequest("the record has no key, and keyed state needs one")
        for state, store in self.states:
            state._cell = store.cell(key)  # noqa: SLF001  a handle is pointed by those who call, and has no such method for users
        for handle in self.keyed:
            handle._key = key  # noqa: SLF001  likewise


class Calls:
    """The operator of a plain function, with its timers."""

    def __init__(self, binding: Binding, timers: dict[str, Binding], surroundings: Surroundings) -> None:
        self._function = binding.function
        self._draft = surroundings.draft
        self._arguments = surroundings.arguments(binding)
        self._timers = {name: (timer.function, surroundings.arguments(timer)) for name, timer in timers.items()}
        self._many = is_many(binding.leading[0])
        self._raw = element(binding.leading[0]) is bytes
        plain = len(self._arguments.states) == 1 and not self._arguments.keyed
        self._loop = self._one_state if plain else self._any_state if self._arguments.want_key else self._stateless
        self.knows_place = not self._many

    def take(self, part: Part, first: int, end: int) -> None:
        """Call the function for the records from `first` to before `end`."""
        whole = first == 0 and end == len(part.keys)
        given = part.columns.values if self._raw else part.events
        events = given if whole else given[first:end]
        if self._many:
            self._draft.at_record(part, end - 1)
            result = self._function(list(events), *self._arguments.handles)
            if result is not None:
                self._draft.emit_result(result)
            return
        self._draft.at_record(part, first)
        self._loop(events, part.keys if whole else part.keys[first:end], first)

    def fire(self, fired: Fired) -> None:
        """Call the function of a timer."""
        function, arguments = self._timers[fired.name]
        self._draft.at_timer(fired)
        arguments.point(fired.key)
        result = function(*arguments.handles)
        if result is not None:
            self._draft.emit_result(result)

    def _stateless(self, events: Sequence[Any], _keys: Sequence[bytes | None], place: int) -> None:
        function, draft, handles = self._function, self._draft, self._arguments.handles
        for event in events:
            draft.place = place
            result = function(event, *handles)
            if result is not None:
                draft.emit_result(result)
            place += 1

    def _one_state(self, events: Sequence[Any], keys: Sequence[bytes | None], place: int) -> None:
        if None in keys:
            self._any_state(events, keys, place)
            return
        function, draft, handles = self._function, self._draft, self._arguments.handles
        state, store = self._arguments.states[0]
        self._arguments.load(keys)
        cells = map(store.cells.__getitem__, cast("Sequence[bytes]", keys))
        for event, state._cell in zip(events, cells, strict=True):  # noqa: SLF001  as `point`, without its call
            draft.place = place
            result = function(event, *handles)
            if result is not None:
                draft.emit_result(result)
            place += 1

    def _any_state(self, events: Sequence[Any], keys: Sequence[bytes | None], place: int) -> None:
        function, draft, arguments = self._function, self._draft, self._arguments
        arguments.load(keys)
        for event, key in zip(events, keys or repeat(None), strict=True):
            draft.place = place
            arguments.point(key)
            result = function(event, *arguments.handles)
            if result is not None:
                draft.emit_result(result)
            place += 1
