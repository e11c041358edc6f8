"""What the README of connectors says is so: every kind is in it, its routes can be deployed, its own ones work."""

import asyncio
import re
import runpy
from pathlib import Path

import msgspec
import pytest

from cluster.connectors.contract import Delivery, Position
from cluster.connectors.registry import Registry, Side
from cluster.processing.routes.reading import read_routes
from cluster.processing.routes.route_file import FromSource, ToSink

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "cluster" / "connectors" / "README.md").read_text()
ROUTES = re.findall(r"^```toml\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def rows(text: str) -> dict[str, list[str]]:
    """Of the table of kinds: its other cells."""
    found = re.findall(r"^\| `(\w+)` \|(.*)\|$", text, re.MULTILINE)
    return {kind: [cell.strip() for cell in cells.split("|")] for kind, cells in found}


def test_every_kind_is_in_the_table_and_has_a_part() -> None:
    """On the side on which it is."""
    registry = Registry()
    table = rows(TEXT)
    for place, side in enumerate((Side.SOURCE, Side.SINK)):
        assert registry.kinds(side) == sorted(kind for kind, cells in table.items() if cells[place])
    assert sorted(table) == sorted(re.findall(r"^### (\w+)$", TEXT, re.MULTILINE))


def test_the_readme_of_the_project_has_the_same_kinds() -> None:
    """With what is read and written of each."""
    main = rows((ROOT / "README.md").read_text())
    assert {kind: cells[:2] for kind, cells in rows(TEXT).items()} == {kind: cells[:2] for kind, cells in main.items()}


def test_every_route_can_be_deployed() -> None:
    """And among them is each kind on each side, with the promise that the table has of it."""
    shown: set[tuple[Side, str]] = set()
    for text in ROUTES:
        found, problems = read_routes(text, "example.toml", Registry())
        assert problems == []
        assert found is not None
        for route in found.routes:
            ends = [(Side.SINK, to) for to in route.destinations if isinstance(to, ToSink)]
            for side, end in [*ends, *([(Side.SOURCE, route.source)] if isinstance(route.source, FromSource) else [])]:
                kind = type(end.options).__struct_config__.tag
                assert str(end.options.guarantee) in rows(TEXT)[kind][2]
                shown.add((side, kind))
    assert {(side, kind) for side in Side for kind in Registry().kinds(side)} == shown


@pytest.mark.parametrize("side", list(Side))
def test_every_option_is_named(side: Side) -> None:
    """In the part of its kind, or in that of the other which it refers to."""
    parts = {part.split("\n", 1)[0]: part for part in re.split(r"^### ", TEXT, flags=re.MULTILINE)[1:]}
    parts["objects"] += parts["files"]
    registry = Registry()
    unnamed = [
        f"{kind}: {field.encode_name}"
        for kind in registry.kinds(side)
        for field in msgspec.structs.fields(registry.type_of(side, kind))
        if not re.search(rf"\b{field.encode_name}\b", parts[kind])
    ]
    assert [] == unnamed


def test_ones_own_connectors(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """They do what they say, in a test of the app and by themselves."""
    snippets = re.findall(r"^```python\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)
    (text,) = (snippet for snippet in snippets if "App(" in snippet)
    (tmp_path / "clock.py").write_text(text)

    names = runpy.run_path(str(tmp_path / "clock.py"), run_name="__main__")
    assert "[{'tick': 1}, {'tick': 2}]\n" == capsys.readouterr().out

    arrived = asyncio.run(names["Ticks"](every_s=0).open("", "me").read(b"7"))
    assert ({"tick": 7}, b"8") == (arrived.records[0].value, arrived.cursor)
    sink = names["Lines"](path=str(tmp_path / "lines")).open("me")
    delivery = Delivery(value={"n": 1}, key=None, timestamp_ns=1, headers=(), offset=0, id="lane@0")
    assert asyncio.run(sink.write([delivery], Position(lane="lane", begin=0, end=1)))
    assert '["lane@0",{"n":1}]\n' == (tmp_path / "lines").read_text()
