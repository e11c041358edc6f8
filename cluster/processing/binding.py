"""A function's signature: what it wants to be handed, and whether that fits its topics.

The annotation of the first parameter chooses the view: one event, `list[Event]`, `bytes`, `list[bytes]`, or
`pyarrow.RecordBatch` (`arrow`). The others are handed by their types: `State[T]`, `MapState[K, V]`, `Table[V]`, `Ctx`.
Stores are named by their parameters; a table's parameter has the table's name (with _ for -).
"""

import collections.abc
import inspect
import types
import typing
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import msgspec

from cluster.errors import InvalidApp
from cluster.processing.arrow import BatchView, is_batch
from cluster.processing.context import Ctx
from cluster.processing.event import Tombstone, foreign_in
from cluster.processing.handles import MapState, State, Table

_ITERABLES = (
    list,
    tuple,
    set,
    frozenset,
    collections.abc.Sequence,
    collections.abc.Collection,
    collections.abc.Iterable,
    collections.abc.Iterator,
    collections.abc.Generator,
)
_HANDLES = (State, MapState, Table)


class Wanted(NamedTuple):
    """One parameter that is injected. `kind`: State, MapState, Table or Ctx; `value`: the type that it holds."""

    name: str
    kind: type
    value: Any


class Binding(NamedTuple):
    """A function and what it is called with. `leading`: the types of its first parameters, which are not injected."""

    function: Callable[..., Any]
    leading: tuple[Any, ...]
    injected: tuple[Wanted, ...]
    gives: Any
    """The return annotation; `inspect.Parameter.empty` without one."""

    @property
    def is_async(self) -> bool:
        """Whether it is to be awaited."""
        return inspect.iscoroutinefunction(self.function)


def bind(function: Callable[..., Any], leading: int, what: str, takes: str = "the event") -> Binding:
    """Read the signature: `leading` parameters, then injected ones. InvalidApp says what is wrong with it."""
    if not inspect.isroutine(function):
        raise InvalidApp(f"{what}: a function is wanted, and this is {function!r}")
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        hint = "; pyarrow comes with riverrun[arrow]" if error.name in {"pa", "pyarrow"} else ""
        raise InvalidApp(f"{what}: an annotation cannot be resolved: {error}{hint}") from error
    parameters = list(inspect.signature(function).parameters.values())
    for parameter in parameters:
        if parameter.kind in {parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD, parameter.KEYWORD_ONLY}:
            raise InvalidApp(f"{what}: parameter {parameter.name!r} is given by position; no *, no ** and no defaults")
        if parameter.name not in hints:
            raise InvalidApp(f"{what}: parameter {parameter.name!r} has no annotation; it says what is handed over")
    first = [hints[parameter.name] for parameter in parameters[:leading]]
    if len(first) < leading or any(_handle(kind) is not None for kind in first):
        raise InvalidApp(f"{what}: it takes {takes} first, and then what is handed over by its type")
    injected = tuple(_wanted(parameter.name, hints[parameter.name], what) for parameter in parameters[leading:])
    return Binding(function, tuple(first), injected, hints.get("return", inspect.Parameter.empty))


def _handle(kind: Any) -> type | None:
    origin = typing.get_origin(kind) or kind
    return origin if origin is Ctx or origin in _HANDLES else None


def _wanted(name: str, kind: Any, what: str) -> Wanted:
    handle = _handle(kind)
    if handle is None:
        raise InvalidApp(
            f"{what}: nothing can be handed to parameter {name!r} of {kind!r}; State[T], MapState, Table, Ctx"
        )
    if handle is Ctx:
        return Wanted(name, Ctx, None)
    arguments = typing.get_args(kind)
    if len(arguments) != (2 if handle is MapState else 1):
        raise InvalidApp(f"{what}: parameter {name!r} needs its types: State[int], MapState[str, int], Table[Price]")
    value = arguments[-1]
    try:
        encodable = foreign_in(value) is None
    except TypeError:
        encodable = False
    if not encodable:
        raise InvalidApp(f"{what}: {name!r} holds {value!r}, which cannot be encoded; an Event, or plain types")
    return Wanted(name, handle, value)


def check_event(annotated: Any, event: Any, topic: str, what: str) -> None:
    """Whether a view (`Purchase`, `list[Purchase]`, `bytes`) fits a topic of events of type `event`."""
    if is_batch(annotated):
        BatchView(event, f"{what}: topic {topic!r}")
        return
    inner = element(annotated)
    if inner is bytes or inner == event:
        return
    if isinstance(inner, type) and isinstance(event, type) and issubclass(event, inner) and inner is not object:
        return
    raise InvalidApp(f"{what}: it takes {_name(annotated)}, and topic {topic!r} holds {_name(event)}")


def is_many(annotated: Any) -> bool:
    """Whether a view takes many records at once."""
    return typing.get_origin(annotated) is list or is_batch(annotated)


def element(annotated: Any) -> Any:
    """What a view is a view of."""
    return typing.get_args(annotated)[0] if typing.get_origin(annotated) is list else annotated


def view_of(annotated: Any, event: Any) -> Callable[[Sequence[Any]], Any]:
    """For a view that takes many: from decoded events to what the function is called with."""
    return BatchView(event, "its view") if is_batch(annotated) else list


def check_result(binding: Binding, to: Any, what: str) -> None:
    """Whether what it says it returns fits the topic that it goes to: `to` has a name and a type, or is None."""
    if binding.gives is inspect.Parameter.empty:
        return
    given = [kind for kind in _given(binding.gives) if kind is not type(None) and kind is not Any]
    if to is None:
        if given:
            raise InvalidApp(f"{what}: it returns {_name(given[0])} and has no topic to put it: give it `to=`")
        return
    for kind in given:
        if is_batch(kind) or kind is Tombstone:
            continue  # rows are looked at, each in its turn; a tombstone fits everywhere
        if to.event is not None and kind != to.event and not (isinstance(kind, type) and issubclass(kind, to.event)):
            raise InvalidApp(f"{what}: it returns {_name(kind)}, and topic {to.name!r} holds {_name(to.event)}")


def _given(kind: Any) -> Iterator[Any]:
    origin = typing.get_origin(kind)
    if origin in {typing.Union, types.UnionType}:
        for option in typing.get_args(kind):
            yield from _given(option)
    elif origin in _ITERABLES:
        yield from _given(typing.get_args(kind)[0])
    else:
        yield kind


def _name(kind: Any) -> str:
    return kind.__name__ if isinstance(kind, type) and not typing.get_args(kind) else str(kind)


def default_of(kind: Any) -> Callable[[], Any]:
    """What makes a value that was never set: the type itself where it needs nothing, and is then itself; else None."""
    made = typing.get_origin(kind) or kind
    if made in {typing.Union, types.UnionType} or not isinstance(made, type):
        return _nothing
    if typing.is_typeddict(kind):
        return dict  # to be filled
    try:
        msgspec.msgpack.decode(msgspec.msgpack.encode(made()), type=kind)
    except Exception:  # noqa: BLE001  it may be a class of the user's
        return _nothing
    return made


def _nothing() -> None:
    return None
