"""A run as it goes on, in the terminal: how far it is, what is broken just now, and what of it somebody notices.

Where there is a terminal it is a few lines that are drawn anew; elsewhere (a log of CI) one line every few seconds. It
looks at the run from a thread of its own, so that a run in virtual time, whose loop never rests, is seen, too. It only
reads: the history's events, which are only ever appended to, and the state that the run keeps up to date.
"""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from chaos.history import History, Kind
from chaos.report.canvas import clock, seconds
from chaos.report.seen import WORST_S_MIN, Seen
from chaos.report.sentences import some

TERMINAL_EVERY_S, LINES_EVERY_S = 0.25, 5.0


@dataclass
class RunState:
    """What the run itself knows."""

    title: str
    seconds: float
    """Of load, as planned."""
    now_s: Callable[[], float]
    """The history's clock."""
    phase: Callable[[], str]
    """What it does just now, in a word or two."""


def line(seen: Seen, state: RunState) -> str:
    """For logs: all in one line."""
    now_s = state.now_s()
    rates = seen.rates(now_s)
    parts = [
        f"{clock(now_s)} of {clock(state.seconds)}",
        state.phase(),
        " ".join(f"{rates[kind]:,.0f} {kind.value}/s" for kind in seen.count),
        f"{some(seen.injected, 'fault')}, now {_now(seen)}",
        _worst_words(seen, now_s),
    ]
    return " | ".join(parts)


def _now(seen: Seen) -> str:
    return ", ".join(f"{fault.name} {fault.target}" for fault in list(seen.open_faults.values())) or "none"


def _worst_words(seen: Seen, now_s: float) -> str:
    waiting_s, whose = seen.waiting(now_s)
    words = (
        f"worst unavailability {seconds(seen.worst_s)} ({seen.worst_partition})" if seen.worst_s else "always available"
    )
    return f"{words}, {whose} for {seconds(waiting_s)} now" if waiting_s > WORST_S_MIN else words


def screen(seen: Seen, state: RunState) -> Group:
    """For terminals: a few lines, then what happened last."""
    now_s = state.now_s()
    rates = seen.rates(now_s)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim")
    table.add_column(no_wrap=True)
    per_s = Text("   ").join(
        Text.assemble(
            (f"{rates[kind]:,.0f}", style if rates[kind] else "dim"), f" {kind.value}/s", f" ({seen.count[kind]:,})"
        )
        for kind, style in ((Kind.OK, "green"), (Kind.FAIL, "red"), (Kind.INFO, "yellow"))
    )
    led: dict[int, int] = {}
    for node in seen.leaders.values():
        led[node] = led.get(node, 0) + 1
    lead = ", ".join(f"node {node} leads {count}" for node, count in sorted(led.items())) or "nobody known"
    table.add_row("operations", per_s)
    table.add_row("faults", Text(f"{seen.injected:,}, now {_now(seen)}", style="yellow" if seen.open_faults else ""))
    table.add_row("leaders", Text(f"{lead}; controller: {seen.controller or 'nobody known'}"))
    table.add_row("available", Text(_worst_words(seen, now_s)))
    for at_s, words in list(seen.last):
        table.add_row(Text(clock(at_s), style="dim", justify="right"), Text(words, style="dim"))
    head = Text.assemble(
        (state.title, "bold"), f"  {clock(now_s)} of {clock(state.seconds)}  ", (state.phase(), "cyan")
    )
    return Group(head, table)


class Progress:
    """Shows a run while it is open: `with Progress(history, state): …`."""

    def __init__(self, history: History, state: RunState, console: Console | None = None) -> None:
        self._history, self._state = history, state
        self._console = console or Console(highlight=False)
        self._seen = Seen()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, name="progress", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        if self._console.is_terminal:
            with Live(console=self._console, auto_refresh=False) as live:
                while True:
                    self._seen.look(self._history)
                    live.update(screen(self._seen, self._state), refresh=True)
                    if self._over.wait(TERMINAL_EVERY_S):
                        break
        else:
            self._lines()

    def _lines(self) -> None:
        """One at once, one every few seconds, one at the end."""
        while True:
            self._seen.look(self._history)
            self._console.print(line(self._seen, self._state), soft_wrap=True, markup=False)
            if self._over.wait(LINES_EVERY_S):
                break
        self._seen.look(self._history)
        self._console.print(line(self._seen, self._state), soft_wrap=True, markup=False)
