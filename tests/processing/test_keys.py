"""Keys: from a field's value to bytes and back, whatever type the field has, and keys that somebody else made."""

import datetime as dt
import enum
from collections.abc import Callable
from decimal import Decimal
from typing import Annotated, Any, Literal, NewType
from uuid import UUID

import msgspec
import pytest

from cluster.processing.app import App
from cluster.processing.context import Ctx
from cluster.processing.event import Event, decode_key, encode_key
from cluster.processing.policies import dead_letter
from cluster.processing.windows import Window

CustomerId = NewType("CustomerId", str)
Number = NewType("Number", int)


class Colour(enum.StrEnum):
    """A choice."""

    RED = "red"


class Plain(enum.Enum):
    """Another one, that is no text."""

    RED = "red"


class Level(enum.IntEnum):
    """A number of a choice."""

    LOW = 1


KEYS: list[tuple[Any, Any]] = [
    (str, "ä b"),
    (str, '"quoted"'),
    (bytes, b"\xff\x00"),
    (int, -7),
    (CustomerId, "123"),
    (Number, 123),
    (Annotated[str, msgspec.Meta(max_length=9)], "abc"),
    (Colour, Colour.RED),
    (Plain, Plain.RED),
    (Level, Level.LOW),
    (Literal["a", "b"], "a"),
    (str | None, "abc"),
    (str | None, None),
    (int | None, 5),
    (bytes | None, b"abc"),
    (dt.date, dt.date(2026, 11, 27)),
    (dt.datetime, dt.datetime(2026, 11, 27, tzinfo=dt.UTC)),
    (Decimal, Decimal("1.50")),
    (UUID, UUID(int=7)),
    (float, 1.5),
    (bool, True),
    (tuple[str, int], ("a", 1)),
]


@pytest.mark.parametrize(("kind", "value"), KEYS)
def test_a_key_comes_back_as_it_was(kind: Any, value: Any) -> None:
    """For all types that a field may have."""
    assert value == decode_key(encode_key(value), kind)


@pytest.mark.parametrize(
    ("kind", "key"), [(str, b"\xff"), (str | None, b"\xff"), (int, b"a"), (Colour, b"blue"), (dt.date, b"tomorrow")]
)
def test_a_key_that_is_none_of_its_type(kind: Any, key: bytes) -> None:
    """It is said which."""
    with pytest.raises(ValueError, match="the record's key is "):
        decode_key(key, kind)


class Visit(Event):
    """Somebody came."""

    who: str


def in_window(window: Window, visits: list[Visit]) -> str:
    """Counts."""
    return f"{window.key} {len(visits)}"


def with_ctx(visit: Visit, ctx: Ctx) -> str:
    """Tells."""
    return f"{ctx.key} {len(visit.who)}"


@pytest.mark.parametrize("windows", [{"tumbling": "1d"}, {"session": "1h"}, {}])
def test_a_key_that_somebody_else_made_is_its_records_fault(windows: dict[str, str]) -> None:
    """It is put aside at once; in a window it would stop the task when that closes, with nothing to put aside."""
    app = App("house")
    visits = app.topic("visits", Visit, key="who")
    decorate: Callable[..., Any] = app.window if windows else app.processor
    work = decorate(visits, to="told", on_error=dead_letter("dead"), name="work", **windows)(
        in_window if windows else with_ctx
    )

    with app.test() as t:
        t.send(visits, Visit("a"), key=b"\xff\xfe")
        t.send(visits, Visit("b"))
        t.finish()
        assert ["b 1"] == t.read("told")
        assert {"dead_lettered": 1} == t.counts(work)
