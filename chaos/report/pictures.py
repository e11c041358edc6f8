"""All pictures of a run over one time axis: whatever stands below one another happened at the same time.

Faults are shaded through all of it, and named at the top. Drawn twice, for wide screens (and paper) and for narrow
ones, since text that shrinks with its picture cannot be read.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from chaos.report.canvas import Canvas, clock, number, text_width
from chaos.report.curves import draw_latency, draw_rates
from chaos.report.lanes import draw_faults, draw_leaders, draw_nodes, draw_unavailability
from chaos.report.markup import Markup, element
from chaos.report.operations import Operation, bucketed
from chaos.report.spans import Spans
from chaos.report.unavailability import Window

WIDE, NARROW = 1080.0, 380.0
BUCKETS_MAX = {WIDE: 400, NARROW: 160}
LEFT = {WIDE: 108.0, NARROW: 64.0}
MARKS = {"load": ("load begins", True), "quiet": ("faults over", False), "healed": ("healed", True)}
"""Of the run's phases: words, and whether they stand behind the line, or before it."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What the pictures are of."""

    done: Sequence[Operation]
    spans: Spans
    windows: Mapping[str, Sequence[Window]]
    anomalies: Sequence[tuple[int, float, str]]
    """Number, moment, name."""


def picture(shown: Shown, width: float) -> Markup:
    """The whole SVG, so wide."""
    end_s = max(shown.spans.end_s, 0.001)
    canvas = Canvas(width, end_s, LEFT[width])
    rates = bucketed(shown.done, end_s, BUCKETS_MAX[width])
    _anomalies(canvas, shown.anomalies)
    draw_faults(canvas, shown.spans.faults, end_s)
    top = canvas.y + 8 if shown.spans.faults else 0.0
    draw_rates(canvas, rates)
    draw_latency(canvas, rates)
    draw_unavailability(canvas, shown.windows)
    draw_leaders(canvas, shown.spans.leaders, shown.spans.controller)
    draw_nodes(canvas, shown.spans.nodes)
    bottom = canvas.y + 6
    canvas.y = bottom
    canvas.time_axis()
    _marks(canvas, shown.spans.marks)
    height = number(canvas.y + 8)
    behind = Canvas(width, end_s, LEFT[width])
    _behind(behind, shown, top, bottom)
    return element(
        "svg",
        element("title", "What happened during the run, over time"),
        behind.shapes,
        canvas.shapes,
        viewBox=f"0 0 {number(width)} {height}",
        class_="wide" if width == WIDE else "narrow",
        role="img",
    )


def _behind(canvas: Canvas, shown: Shown, top: float, bottom: float) -> None:
    """Time's lines, faults' shades and what parts the run's phases: below all curves and lanes."""
    for fault in shown.spans.faults:
        until_s = canvas.end_s if fault.end_s is None else fault.end_s
        canvas.bar(fault.start_s, until_s, top - 8, bottom - top + 8, "shade")
    for at_s in canvas.ticks():
        canvas.draw("line", x1=canvas.x(at_s), x2=canvas.x(at_s), y1=top, y2=bottom, class_="grid")
    for name, at_s in shown.spans.marks.items():
        if name in MARKS:
            canvas.draw("line", x1=canvas.x(at_s), x2=canvas.x(at_s), y1=top, y2=bottom, class_="mark")
    for _, at_s, _ in shown.anomalies:
        canvas.draw("line", x1=canvas.x(at_s), x2=canvas.x(at_s), y1=14.0, y2=bottom, class_="bad-line")


def _anomalies(canvas: Canvas, anomalies: Sequence[tuple[int, float, str]]) -> None:
    """A mark for each, which leads to its words; their names where they do not run into one another."""
    if not anomalies:
        return
    canvas.heading("anomalies")
    taken = 0.0
    for place, at_s, name in sorted(anomalies, key=lambda one: one[1]):
        x, y = canvas.x(at_s), canvas.y + 6
        mark = element(
            "path", element("title", f"{name} at {clock(at_s)}"), d=f"M{x:.1f} {y - 5}l5 5l-5 5l-5 -5Z", class_="bad"
        )
        start, end = x - 6, x + 9 + text_width(name)
        words = None
        if start >= taken and end <= canvas.left + canvas.inner:
            words, taken = element("text", name, x=f"{x + 9:.1f}", y=f"{y + 4}", class_="small"), end
        canvas.draw("a", mark, words, href=f"#anomaly-{place}")
    canvas.y += 13


def _marks(canvas: Canvas, marks: Mapping[str, float]) -> None:
    """The phases, named below the axis; one that does not fit is left to its line."""
    placed = sorted((at_s, *MARKS[name]) for name, at_s in marks.items() if name in MARKS)
    if not placed:
        return
    canvas.y += 17
    taken = 0.0
    for at_s, words, behind in placed:
        x, width = canvas.x(at_s), text_width(words)
        start = x - 2 if behind else x + 2 - width
        if start >= taken and start + width <= canvas.width:
            canvas.label(words, x - 2 if behind else x + 2, canvas.y, "faint", None if behind else "end")
            taken = start + width + 6
