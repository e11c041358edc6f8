"""Lines of a history around the operations of its anomalies: the evidence, short enough to be read.

A line keeps its number in history.jsonl, where it is whole; here long values are cut. The first line of an operation
has the anchor `op-N`.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from chaos.history import Event
from chaos.report.canvas import short
from chaos.report.markup import Markup, element

AROUND = 2
"""Lines before and after each that is an operation's own."""
LINES_MAX = 700
LETTERS_MAX = 260
ITEMS_MAX = 6
"""Of a list; of a longer one the first and the last are shown."""


def chosen(events: Sequence[Event], numbers: Iterable[int]) -> list[int]:
    """Places of the lines to show, ascending. With too many operations the later ones go without, neighbours first."""
    places: dict[int, list[int]] = {number: [] for number in numbers}
    for place, event in enumerate(events):
        if event.operation in places and event.scope != "trace":
            places[event.operation].append(place)
    own = [place for mine in places.values() for place in mine][:LINES_MAX]
    found = set(own)
    for place in own:
        if len(found) + 2 * AROUND > LINES_MAX:
            break
        found.update(range(max(0, place - AROUND), min(len(events), place + AROUND + 1)))
    return sorted(found)


def excerpt(events: Sequence[Event], places: Sequence[int], numbers: Collection[int]) -> Markup:
    """The lines as a table; what is left out between them is counted."""
    rows: list[Markup] = []
    anchored: set[int] = set()
    before = -1
    for place in places:
        if place > before + 1:
            left_out = element("td", f"… {place - before - 1:,} lines …", colspan=7)
            rows.append(element("tr", left_out, class_="left-out"))
        event, before = events[place], place
        ours = event.operation in numbers and event.scope != "trace"
        anchor = f"op-{event.operation}" if ours and event.operation not in anchored else None
        anchored.update([event.operation] if ours else [])
        cells = [
            element("td", f"{place + 1:,}", class_="number"),
            element("td", f"{event.time_s:.3f}", class_="number"),
            element("td", event.scope),
            element("td", event.process),
            element("td", element("span", event.kind.value, class_=f"kind-{event.kind.value}")),
            element("td", f"{event.name} ", element("span", f"#{event.operation}", class_="faint")),
            element("td", element("code", value_text(event.value))),
        ]
        rows.append(element("tr", cells, id=anchor, class_="own" if ours else None))
    if places and places[-1] + 1 < len(events):
        left_out = element("td", f"… {len(events) - places[-1] - 1:,} lines …", colspan=7)
        rows.append(element("tr", left_out, class_="left-out"))
    names = [
        ("line", "number"),
        ("s", "number"),
        *((name, None) for name in ("scope", "process", "kind", "what", "value")),
    ]
    head = element("tr", [element("th", name, class_=class_) for name, class_ in names])
    return element("table", element("thead", head), element("tbody", rows), class_="lines")


def value_text(value: Any) -> str:
    """JSON, cut."""
    return short(json.dumps(_cut(value), ensure_ascii=False), LETTERS_MAX)


def _cut(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _cut(one) for key, one in value.items()}
    if isinstance(value, list) and len(value) > ITEMS_MAX:
        kept = ITEMS_MAX // 2
        return [*map(_cut, value[:kept]), f"… {len(value) - 2 * kept:,} more …", *map(_cut, value[-kept:])]
    if isinstance(value, list):
        return [_cut(one) for one in value]
    return short(value, LETTERS_MAX // 2) if isinstance(value, str) else value
