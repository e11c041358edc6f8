"""When a partition acknowledged nothing although somebody was sending to it.

A send is under way from its invocation to its outcome; one without an outcome as long as anything was heard of its
sender. Sends that follow one another within `IDLE_S` are one wish to send. A window is a stretch of such a wish without
an acknowledgement in it; it begins when a send is under way. What was refused because of the partition's end was
answered, and does not count.
"""

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate, pairwise

from chaos.history import Kind
from chaos.report.operations import Operation

IDLE_S = 5.0
WINDOW_S_MIN = 0.5
"""What is shorter is latency."""


@dataclass(frozen=True, slots=True, order=True)
class Window:
    """Without an acknowledgement, from its begin to its end."""

    start_s: float
    end_s: float

    @property
    def seconds(self) -> float:
        """How long."""
        return self.end_s - self.start_s


def unavailable(done: Iterable[Operation], at_least_s: float = WINDOW_S_MIN) -> dict[str, list[Window]]:
    """Of each partition that was sent to ("workload/partition") its windows; of most of them, none."""
    wishes: dict[str, list[Window]] = defaultdict(list)
    acknowledged: dict[str, list[float]] = defaultdict(list)
    done = list(done)
    heard_s: dict[tuple[str, str], float] = {}
    for one in done:
        seat = one.scope, one.process
        heard_s[seat] = max(heard_s.get(seat, 0.0), one.invoked_s if one.ended_s is None else one.ended_s)
    for send in done:
        answered = send.kind is Kind.FAIL and send.value.get("expected_end") is not None
        if send.name != "send" or "partition" not in send.value or answered:
            continue
        partition = f"{send.scope}/{send.value['partition']}"
        ended_s = heard_s[send.scope, send.process] if send.ended_s is None else send.ended_s
        wishes[partition].append(Window(send.invoked_s, ended_s))
        if send.kind is Kind.OK:
            acknowledged[partition].append(ended_s)
    found = {}
    for partition, mine in wishes.items():
        times, begins = sorted(acknowledged[partition]), _Begins(mine)
        pieces = [piece for wish in _joined(mine) for piece in _between(wish, times, begins)]
        found[partition] = [piece for piece in pieces if piece.seconds >= at_least_s]
    return dict(sorted(found.items(), key=lambda item: partition_order(item[0])))


def partition_order(partition: str) -> tuple[str, int, str]:
    """By name, then by number: "log/2" before "log/10"."""
    name, _, number = partition.rpartition("/")
    return name, int(number) if number.isdecimal() else -1, number


def _joined(wishes: list[Window]) -> list[Window]:
    joined: list[Window] = []
    for wish in sorted(wishes):
        if joined and wish.start_s - joined[-1].end_s <= IDLE_S:
            joined[-1] = Window(joined[-1].start_s, max(joined[-1].end_s, wish.end_s))
        else:
            joined.append(wish)
    return joined


class _Begins:
    """When somebody was first waiting again, after a moment."""

    def __init__(self, sends: list[Window]) -> None:
        by_end = sorted(sends, key=lambda send: send.end_s)
        self._ends = [send.end_s for send in by_end]
        self._first = list(accumulate((send.start_s for send in reversed(by_end)), min))[::-1]

    def after(self, moment_s: float) -> float:
        """At once, if a send was under way that ended later; infinity if there was none any more."""
        place = bisect_right(self._ends, moment_s)
        return max(moment_s, self._first[place]) if place < len(self._first) else float("inf")


def _between(wish: Window, times: list[float], begins: _Begins) -> list[Window]:
    """A wish, cut at each acknowledgement in it, without what was idle behind that."""
    cuts = times[bisect_left(times, wish.start_s) : bisect_right(times, wish.end_s)]
    edges = pairwise([wish.start_s, *cuts, wish.end_s])
    return [Window(begin_s, end_s) for start_s, end_s in edges if (begin_s := begins.after(start_s)) < end_s]


def worst(windows: Mapping[str, Iterable[Window]]) -> tuple[str, Window] | None:
    """The longest of all, and whose it is."""
    every = [(partition, window) for partition, mine in windows.items() for window in mine]
    return max(every, key=lambda one: one[1].seconds, default=None)
