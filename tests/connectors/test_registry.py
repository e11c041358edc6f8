"""Kinds are found, imported when they are wanted, and their options are checked."""

import sys

import msgspec
import pytest

from cluster import connectors
from cluster.connectors.registry import SINKS, SOURCES, Registry, Side
from cluster.errors import InvalidRoute

PATH = "tests.connectors.lamp:Lamp"


class Shelf(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="shelf"):
    """A sink."""

    boards: int
    roll: msgspec.UnsetType | int = msgspec.UNSET

    def check(self) -> None:
        """There has to be one."""
        if self.boards < 1:
            raise InvalidRoute("a shelf has boards")


REGISTRY = Registry({"lamp": PATH}, {"shelf": Shelf, "gone": "tests.connectors.nowhere:X", "odd": "json:Nothing"})


def test_a_kind_is_imported_when_it_is_wanted() -> None:
    """And not before: what its peer's library is has not to be there."""
    sys.modules.pop("tests.connectors.lamp", None)
    registry = Registry({"lamp": PATH}, {})
    assert ["lamp"] == registry.kinds(Side.SOURCE)
    assert "tests.connectors.lamp" not in sys.modules
    options = registry.options(Side.SOURCE, {"kind": "lamp", "watts": 5})
    assert ("Lamp", 5) == (type(options).__name__, options.watts)
    assert Shelf(boards=2) == REGISTRY.options(Side.SINK, {"kind": "shelf", "boards": 2})


@pytest.mark.parametrize(
    ("side", "table", "says"),
    [
        (Side.SINK, {}, "kind is missing; it is one of gone, odd, shelf"),
        (Side.SINK, {"kind": 3}, "kind is missing"),
        (Side.SINK, {"kind": "shelv"}, "there is no kind 'shelv'; did you mean 'shelf'?"),
        (Side.SOURCE, {"kind": "x"}, "there is no kind 'x'; there are lamp"),
        (Side.SOURCE, {"kind": "shelf"}, "'shelf' cannot be read from; what can be is lamp"),
        (Side.SINK, {"kind": "lamp"}, "'lamp' cannot be written to; what can be is gone, odd, shelf"),
        (
            Side.SINK,
            {"kind": "gone"},
            "the kind 'gone' is not to be had here: No module named 'tests.connectors.nowhere'",
        ),
        (Side.SINK, {"kind": "odd"}, "the kind 'odd' is not to be had here: module 'json' has no attribute 'Nothing'"),
        (Side.SINK, {"kind": "shelf", "bords": 1}, "shelf has no option 'bords'; did you mean 'boards'?"),
        (Side.SINK, {"kind": "shelf"}, "shelf: boards is missing"),
        (Side.SINK, {"kind": "shelf", "boards": "1"}, "shelf: boards is a str, and int is wanted"),
        (Side.SINK, {"kind": "shelf", "boards": 0}, "a shelf has boards"),
    ],
)
def test_what_is_wrong_is_said(side: Side, table: dict[str, object], says: str) -> None:
    """One sentence."""
    with pytest.raises(InvalidRoute) as caught:
        REGISTRY.options(side, table)

    assert says in caught.value.message


def test_every_kind_that_is_listed_is_there() -> None:
    """By its name, and with options that refuse what they do not know."""
    registry = Registry()
    for side, paths in ((Side.SOURCE, SOURCES), (Side.SINK, SINKS)):
        assert sorted(paths) == registry.kinds(side)
        for kind in paths:
            config = registry.type_of(side, kind).__struct_config__
            assert (kind, "kind", True) == (config.tag, config.tag_field, config.forbid_unknown_fields)


def test_every_kind_can_be_imported_by_its_name() -> None:
    """For apps: `from cluster.connectors import PostgresSource`."""
    assert set(connectors.__all__) == {path.partition(":")[2] for path in (*SOURCES.values(), *SINKS.values())}
    for name in connectors.__all__:
        assert name == getattr(connectors, name).__name__
    with pytest.raises(AttributeError, match="has no attribute 'Telegraph'"):
        _ = connectors.Telegraph
