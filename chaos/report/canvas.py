"""The paper that a run's pictures are drawn on: one time axis, panels below one another, text whose width is guessed.

Sizes are those of the SVG's own units, which are CSS pixels when it is shown as wide as it was drawn. Colours are
classes: the page's style sheet has them, for light, dark and paper.
"""

import math
from dataclasses import dataclass, field

from chaos.report.markup import Markup, element

STEPS_S = (0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 28800, 86400)
LETTER = 6.2
"""Of small text, on average; rather too wide."""
TITLE_LETTER = 7.7
NARROW_MAX = 600.0
"""A canvas that is no wider has shorter words."""
TICK_APART = 84.0
S_PER_MINUTE, S_PER_HOUR = 60, 3600
CLOCK_FROM_S = 120.0
"""A run that is shorter has its axis in seconds."""


def text_width(text: str) -> float:
    """About, in small text."""
    return LETTER * len(text)


def short(text: str, letters: int) -> str:
    """At most so many."""
    return text if len(text) <= letters else text[: letters - 1] + "…"


def seconds(value_s: float) -> str:
    """For people: "140 ms", "2.3 s", "4 min 10 s"."""
    if value_s < 0.9995:
        return f"{value_s * 1000:.0f} ms"
    if value_s < S_PER_MINUTE * 2:
        return f"{value_s:.1f}".removesuffix(".0") + " s"
    minutes, rest = divmod(round(value_s), S_PER_MINUTE)
    if minutes < S_PER_MINUTE:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, S_PER_MINUTE)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def clock(at_s: float) -> str:
    """A moment of a run: "1:05", "1:00:05"."""
    minutes, rest = divmod(int(at_s), S_PER_MINUTE)
    if minutes < S_PER_MINUTE:
        return f"{minutes}:{rest:02}"
    return f"{minutes // S_PER_MINUTE}:{minutes % S_PER_MINUTE:02}:{rest:02}"


def nice(value: float) -> float:
    """The next round number, whose half is round, too."""
    power = 10.0 ** math.floor(math.log10(value)) if value > 0 else 1.0
    return next(step * power for step in (1, 2, 3, 4, 6, 8, 10) if step * power >= value)


def number(value: float) -> str:
    """A coordinate, short."""
    return f"{value:.1f}".removesuffix(".0")


@dataclass(slots=True)
class Canvas:
    """What is drawn so far, and how far down."""

    width: float
    end_s: float
    """Of the time axis, which begins at 0."""
    left: float
    """Of the axis; labels stand before it."""
    right: float = 14.0
    y: float = 0.0
    shapes: list[Markup] = field(default_factory=list)

    @property
    def inner(self) -> float:
        """The axis's length."""
        return self.width - self.left - self.right

    def x(self, at_s: float) -> float:
        """Where a moment is; what is outside of the run is at its edge."""
        return self.left + self.inner * min(1.0, max(0.0, at_s / self.end_s))

    def draw(self, name: str, /, *children: object, **attributes: object) -> None:
        """One shape; floats are shortened."""
        plain = {key: number(value) if isinstance(value, float) else value for key, value in attributes.items()}
        self.shapes.append(element(name, *children, **plain))

    def label(self, text: str, x: float, y: float, class_: str = "small", anchor: str | None = None) -> None:
        """Text with its baseline there; `anchor`: "end", "middle"."""
        self.draw("text", text, x=x, y=y, class_=class_, text_anchor=anchor)

    def bar(
        self, start_s: float, end_s: float, y: float, height: float, class_: str, title: str = "", least: float = 1.5
    ) -> None:
        """A stretch of time, visible however short; `title` is shown when somebody points at it."""
        x = self.x(start_s)
        width = max(least, self.x(end_s) - x)
        children = [element("title", title)] if title else []
        self.draw(
            "rect", *children, x=min(x, self.left + self.inner - least), y=y, width=width, height=height, class_=class_
        )

    def heading(self, title: str, legend: tuple[tuple[str, str], ...] = (), note: str = "") -> None:
        """A panel begins: its title, and what its colours (classes) mean; a note where there is room."""
        self.y += 38
        self.label(title, self.left, self.y - 9, "title")
        x = self.left + TITLE_LETTER * len(title) + 14
        for class_, name in legend:
            self.draw("rect", x=x, y=self.y - 17, width=9.0, height=9.0, rx=2.0, class_=class_)
            self.label(name, x + 13, self.y - 9)
            x += text_width(name) + 27
        if note and x + text_width(note) < self.left + self.inner:
            self.label(note, self.left + self.inner, self.y - 9, "faint", "end")

    def ticks(self) -> list[float]:
        """Moments that the axis names."""
        most = max(2.0, self.inner / TICK_APART)
        step_s = next((step for step in STEPS_S if self.end_s / step <= most), STEPS_S[-1])
        return [step_s * place for place in range(int(self.end_s / step_s) + 1)]

    def time_axis(self) -> None:
        """The moments, below what was drawn last."""
        self.y += 16
        for at_s in self.ticks():
            words = clock(at_s) if self.end_s >= CLOCK_FROM_S else f"{number(at_s)} s"
            self.label(words, self.x(at_s), self.y, anchor="middle")
