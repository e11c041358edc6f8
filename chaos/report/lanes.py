"""Panels with lanes: faults and anomalies by their moments, unavailability, leaders, nodes."""

from collections.abc import Mapping, Sequence

from chaos.report.canvas import NARROW_MAX, Canvas, clock, seconds, short, text_width
from chaos.report.markup import element
from chaos.report.spans import Fault, Span
from chaos.report.unavailability import Window

LANE, GAP = 13.0, 4.0
LANES_MAX = 16
FAULT_ROW = 17.0
ROWS_MAX = 8
"""Rows of faults with all their words; if there would be more of them, they have fewer words, or only their numbers."""
LABELLED_S_MIN = 1.0
AT_ONCE_S = 0.01
"""What is over as soon."""
COLOURS = 5
"""Of nodes; with more of them they begin again, and the numbers tell."""


def draw_faults(canvas: Canvas, faults: Sequence[Fault], end_s: float) -> None:
    """Each where it began, as long as it lasted; the numbers are those of the table."""
    if not faults:
        return
    for words in _words(faults):
        rows = _rows(canvas, faults, words, end_s)
        if len(rows) <= ROWS_MAX:
            break
    canvas.heading("faults", (("fault-key", "from injection to mend"),))
    for row in rows:
        for fault in row:
            _fault(canvas, fault, words[fault.number], end_s)
        canvas.y += FAULT_ROW
    canvas.y -= FAULT_ROW - LANE


def _words(faults: Sequence[Fault]) -> Sequence[Mapping[int, str]]:
    """What faults may be called, the most telling first."""
    nodes = {fault.number: ", ".join(map(str, fault.nodes)) for fault in faults}
    return (
        {fault.number: f"{fault.name} {fault.target}".strip() for fault in faults},
        {fault.number: f"{fault.name} {nodes[fault.number]}".strip() for fault in faults},
        {fault.number: str(fault.number) for fault in faults},
    )


def _fault(canvas: Canvas, fault: Fault, words: str, end_s: float) -> None:
    """Its words stand in its bar or, if that is too short, behind it; at the right edge, before it."""
    until_s = end_s if fault.end_s is None else fault.end_s
    canvas.bar(fault.start_s, until_s, canvas.y, LANE, "fault", fault_title(fault), least=3.0)
    start, x, _ = _extent(canvas, fault, words, end_s)
    anchor = "end" if start < canvas.x(fault.start_s) else None
    label = element("text", words, x=f"{x:.1f}", y=f"{canvas.y + 10.5:.1f}", class_="small", text_anchor=anchor)
    canvas.draw("a", label, href=f"#fault-{fault.number}")


def _extent(canvas: Canvas, fault: Fault, words: str, end_s: float) -> tuple[float, float, float]:
    """From where to where it takes room, and in between where its words are put."""
    start, width = canvas.x(fault.start_s), text_width(words)
    end = max(start + 3.0, canvas.x(end_s if fault.end_s is None else fault.end_s))
    if end - start >= width + 8:
        return start, start + 4, end
    if end + 4 + width <= canvas.left + canvas.inner:
        return start, end + 4, end + 4 + width
    return start - 4 - width, start - 4, end


def fault_title(fault: Fault) -> str:
    """For who points at it."""
    lasted = "not mended" if fault.end_s is None else lasting(fault)
    return f"{fault.number}: {fault.name}, {fault.target}, at {clock(fault.start_s)}, {lasted}"


def lasting(fault: Fault) -> str:
    """How long it lasted, if it is over."""
    lasted_s = (fault.end_s or 0.0) - fault.start_s
    return seconds(lasted_s) if lasted_s >= AT_ONCE_S else "at once"


def _rows(canvas: Canvas, faults: Sequence[Fault], words: Mapping[int, str], end_s: float) -> list[list[Fault]]:
    """As few as need be for no two to touch, words included."""
    rows: list[list[Fault]] = []
    ends: list[float] = []
    for fault in faults:
        start, _, end = _extent(canvas, fault, words[fault.number], end_s)
        place = next((place for place, taken in enumerate(ends) if taken + 8 <= start), len(rows))
        if place == len(rows):
            rows.append([])
            ends.append(0.0)
        rows[place].append(fault)
        ends[place] = end
    return rows


def _lane(canvas: Canvas, name: str) -> None:
    letters = int((canvas.left - 10) / 6.2)
    canvas.label(short(name, letters), canvas.left - 8, canvas.y + 10.5, "small", "end")
    middle = canvas.y + LANE / 2
    canvas.draw("line", x1=canvas.left, x2=canvas.left + canvas.inner, y1=middle, y2=middle, class_="grid")


def draw_unavailability(canvas: Canvas, windows: Mapping[str, Sequence[Window]]) -> None:
    """A lane for each partition, if there are few; else of those that had windows, the worst first."""
    shown = dict(windows) if any(windows.values()) else {}
    if len(shown) > LANES_MAX // 2:
        bad = sorted((p for p in shown if shown[p]), key=lambda p: -max(w.seconds for w in shown[p]))[:LANES_MAX]
        shown = {partition: windows[partition] for partition in windows if partition in bad}
    rest = len(windows) - len(shown)
    hidden = sum(1 for partition in windows if partition not in shown and windows[partition])
    note = f"{rest} others: " + (f"{hidden} with shorter windows" if hidden else "none") if rest and shown else ""
    wide = canvas.width > NARROW_MAX
    canvas.heading(
        "unavailable" + (": sends under way, none acknowledged" if wide else ""), (("gone", "0.5 s or more"),), note
    )
    if not shown:
        words = f"in none of {len(windows)} partitions" if windows else "nothing was sent"
        canvas.label(words, canvas.left, canvas.y + 10, "faint")
        canvas.y += LANE
        return
    for partition, mine in shown.items():
        _lane(canvas, partition)
        for place, window in enumerate(mine):
            title = f"{partition}: {seconds(window.seconds)} from {clock(window.start_s)}"
            canvas.bar(window.start_s, window.end_s, canvas.y, LANE, "gone", title)
            words, end = seconds(window.seconds), canvas.x(window.end_s)
            limit = canvas.x(mine[place + 1].start_s) if place + 1 < len(mine) else canvas.left + canvas.inner
            if window.seconds >= LABELLED_S_MIN and end + 6 + text_width(words) < limit:
                canvas.label(words, end + 4, canvas.y + 10.5)
        canvas.y += LANE + GAP
    canvas.y -= GAP


def draw_leaders(canvas: Canvas, leaders: Mapping[str, Sequence[Span]], controller: Sequence[Span]) -> None:
    """Who led each partition, in the nodes' colours; of many partitions those that changed hands most."""
    most = sorted(leaders, key=lambda partition: -len(leaders[partition]))[:LANES_MAX]
    shown = [partition for partition in leaders if partition in most]
    rest = len(leaders) - len(shown)
    note = f"{rest} others changed hands less often" if rest else "looked at about once a second; a gap: nobody known"
    canvas.heading("leaders", (), note)
    for name, spans in [*((p, leaders[p]) for p in shown), ("controller", controller)]:
        _lane(canvas, name)
        for span in spans:
            title = f"{name}: node {span.what} from {clock(span.start_s)} to {clock(span.end_s)}"
            canvas.bar(span.start_s, span.end_s, canvas.y, LANE, colour(span.what), title)
            _inside(canvas, span, str(span.what))
        canvas.y += LANE + GAP
    canvas.y -= GAP


def draw_nodes(canvas: Canvas, nodes: Mapping[int, Sequence[Span]]) -> None:
    """Who ran, in the colours that the leaders have above."""
    canvas.heading("nodes", (("key-up", "running"), ("paused-key", "paused")), "a gap: the process is gone")
    for node, spans in nodes.items():
        _lane(canvas, f"node {node}")
        for span in spans:
            if span.what == "down":
                continue
            class_ = colour(node) if span.what == "up" else "paused"
            title = f"node {node} {span.what} from {clock(span.start_s)} to {clock(span.end_s)}"
            canvas.bar(span.start_s, span.end_s, canvas.y, LANE, class_, title)
            if span.what == "up":
                _inside(canvas, span, str(node))
        canvas.y += LANE + GAP
    canvas.y -= GAP


def colour(node: object) -> str:
    """The class of a node."""
    return f"node-{(node - 1) % COLOURS + 1}" if isinstance(node, int) else "node-1"


def _inside(canvas: Canvas, span: Span, words: str) -> None:
    """The node's number, for who does not see colours; where there is room."""
    start = canvas.x(span.start_s)
    if canvas.x(span.end_s) - start >= text_width(words) + 8:
        canvas.label(words, start + 5, canvas.y + 10.3, "inside")
