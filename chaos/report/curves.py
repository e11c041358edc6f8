"""Panels with curves: operations a second by outcome, and latency on a logarithmic scale."""

import math
from collections.abc import Sequence

from chaos.history import Kind
from chaos.report.canvas import NARROW_MAX, Canvas, nice, number, seconds
from chaos.report.operations import Rates

OK_HEIGHT, OTHERS_HEIGHT, LATENCY_HEIGHT = 120.0, 46.0, 120.0
LATENCY_S_MIN = 1e-4
"""What is faster is drawn there."""


def draw_rates(canvas: Canvas, rates: Rates) -> None:
    """What was done above; what was refused, or is unknown, below on a scale of its own: it is little, and matters."""
    canvas.heading("operations per second", (("ok", "ok"),), _bucket(rates))
    _areas(canvas, rates, [(Kind.OK, "ok")], OK_HEIGHT)
    wide = canvas.width > NARROW_MAX
    legend = ("fail: refused", "info: unknown") if wide else ("fail", "info")
    canvas.heading("not done, per second", tuple(zip(("fail", "info"), legend, strict=True)))
    _areas(canvas, rates, [(Kind.INFO, "info"), (Kind.FAIL, "fail")], OTHERS_HEIGHT)


def _bucket(rates: Rates) -> str:
    return "" if rates.width_s == 1 else f"each step is {seconds(rates.width_s)}"


def _areas(canvas: Canvas, rates: Rates, stacked: Sequence[tuple[Kind, str]], height: float) -> None:
    """On top of each other, the first at the bottom."""
    columns = [sum(column) for column in zip(*(rates.rates[kind] for kind, _ in stacked), strict=True)]
    top = nice(max([1.0, *columns]))
    _scale(canvas, [(share * top, height * (1 - share)) for share in (0.0, 0.5, 1.0)], height)
    below = [0.0] * len(columns)
    for kind, class_ in stacked:
        above = [low + more for low, more in zip(below, rates.rates[kind], strict=True)]
        if any(rates.rates[kind]):
            scaled = [[canvas.y + height * (1 - value / top) for value in line] for line in (above, below)]
            canvas.draw("path", d=_area(canvas, rates.width_s, *scaled), class_=class_)
        below = above
    canvas.y += height


def _scale(canvas: Canvas, lines: Sequence[tuple[float, float]], height: float) -> None:
    """Values at their places below the panel's top."""
    for value, y in lines:
        canvas.draw(
            "line", x1=canvas.left, x2=canvas.left + canvas.inner, y1=canvas.y + y, y2=canvas.y + y, class_="grid"
        )
        if height < OK_HEIGHT and 0 < y < height:
            continue
        words = f"{value / 1000:g}k" if value >= 10_000 else f"{value:g}"
        canvas.label(words, canvas.left - 8, canvas.y + y + 4, "small", "end")


def _steps(canvas: Canvas, width_s: float, line: Sequence[float], first: int = 0) -> list[tuple[float, float]]:
    """Two corners for each run of equal values."""
    corners: list[tuple[float, float]] = []
    for place, y in enumerate(line):
        start, end = canvas.x((first + place) * width_s), canvas.x((first + place + 1) * width_s)
        if corners and corners[-1][1] == y:
            corners[-1] = (end, y)
        else:
            corners += [(start, y), (end, y)]
    return corners


def _area(canvas: Canvas, width_s: float, above: Sequence[float], below: Sequence[float]) -> str:
    corners = _steps(canvas, width_s, above) + _steps(canvas, width_s, below)[::-1]
    return _path(corners) + "Z"


def _path(corners: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{number(x)} {number(y)}" for x, y in corners)


def draw_latency(canvas: Canvas, rates: Rates) -> None:
    """Median, 99th percentile and the slowest of each step; nothing where nothing was acknowledged."""
    what = "sends" if rates.timed == "sends" else "operations"
    legend = (("key-max", "max"), ("key-p99", "p99"), ("key-p50", "p50"))
    canvas.heading(f"latency of {what} that were ok" if canvas.width > NARROW_MAX else "latency", legend)
    samples = [value for line in (rates.p50_s, rates.max_s) for value in line if value is not None]
    if not samples:
        canvas.label("none was", canvas.left, canvas.y + 12, "faint")
        canvas.y += 18
        return
    low = math.floor(math.log10(max(LATENCY_S_MIN, min(samples))))
    high = max(low + 1, math.ceil(math.log10(max(LATENCY_S_MIN, *samples))))

    def y(value_s: float) -> float:
        return LATENCY_HEIGHT * (high - math.log10(max(10.0**low, value_s))) / (high - low)

    for power in range(low, high + 1):
        at = y(10.0**power)
        canvas.draw(
            "line", x1=canvas.left, x2=canvas.left + canvas.inner, y1=canvas.y + at, y2=canvas.y + at, class_="grid"
        )
        canvas.label(_power(power), canvas.left - 8, canvas.y + at + 4, "small", "end")
    for values, class_ in ((rates.max_s, "max"), (rates.p99_s, "p99"), (rates.p50_s, "p50")):
        canvas.draw(
            "path",
            d=_broken(canvas, rates.width_s, [v if v is None else canvas.y + y(v) for v in values]),
            class_=class_,
        )
    canvas.y += LATENCY_HEIGHT


def _power(power: int) -> str:
    return seconds(10.0**power) if power >= -3 else f"{10.0 ** (power + 3):g} ms"


def _broken(canvas: Canvas, width_s: float, line: Sequence[float | None]) -> str:
    """A line through the middles of steps, which ends where there is nothing. One that is alone is a short stroke."""
    pieces: list[str] = []
    run: list[tuple[float, float]] = []
    for place, y in enumerate([*line, None]):
        if y is not None:
            run.append((canvas.x((place + 0.5) * width_s), y))
        elif run:
            pieces.append(_path(run if len(run) > 1 else [run[0], (run[0][0] + 1.5, run[0][1])]))
            run = []
    return "".join(pieces)
