"""What a leader knows of one follower, and whether it may send it more.

Three states:
- PROBE: where the logs part is not known. One append at a time: the next one when it was answered, or should have been.
- REPLICATE: the logs agree. Appends are sent ahead of their answers, within a window of bytes and messages.
- INSTALL: the follower is behind the log's start, or begins anew. It was sent the fold; nothing else until it answers.

`match` is the highest index known to be equal and durable there; `next` the next one to send. Always match < next.
"""

from collections import deque
from dataclasses import dataclass
from enum import Enum

from cluster.config import RaftOptions
from cluster.types import Index


class State(Enum):
    """How the leader sends to this follower."""

    PROBE = "probe"
    REPLICATE = "replicate"
    INSTALL = "install"


@dataclass(slots=True)
class Beginning:
    """A follower's new beginning. `acknowledged`: it has the fold, and nothing else but what was sent since."""

    number: int
    floor: Index
    fold_index: Index
    acknowledged: bool = False


class Progress:
    """One follower, as its leader sees it."""

    __slots__ = (
        "_inflight",
        "barrier",
        "beginning",
        "below_floor",
        "blank",
        "heard",
        "inflight_bytes",
        "known",
        "lacks_upto",
        "match",
        "next",
        "probe_sent",
        "quiet_ticks",
        "recovers",
        "search",
        "silent",
        "state",
        "told_commit",
    )

    def __init__(self, next_index: Index) -> None:
        self.match = Index(0)
        self.next = next_index
        self.state = State.PROBE
        self.probe_sent = False
        self.search = 0
        """How often it was begun to look for where the logs part."""
        self.heard = False
        """Since the last check of the quorum."""
        self.silent = False
        """Not heard between the last two of them, nor since."""
        self.known = False
        """It has said whether it recovers, or had an election time to do so."""
        self.recovers = False
        """It said so last."""
        self.lacks_upto = Index(0)
        """It is without its log, as far as is known, until it has again everything up to here. 0: it is not."""
        self.below_floor = False
        """It is known to end below the floor."""
        self.blank = False
        """It said that it takes nothing but a fold."""
        self.beginning: Beginning | None = None
        self.barrier = 0
        """The highest read barrier that it has confirmed."""
        self.quiet_ticks = 0
        """Since it acknowledged something new, while something was under way."""
        self.told_commit = Index(0)
        self.inflight_bytes = 0
        self._inflight: deque[tuple[Index, int]] = deque()

    def may_send(self, options: RaftOptions) -> bool:
        """Whether another append may leave now."""
        match self.state:
            case State.PROBE:
                return not self.probe_sent
            case State.INSTALL:
                return False
            case State.REPLICATE:
                return (
                    len(self._inflight) < options.inflight_appends_max
                    and self.inflight_bytes < options.inflight_bytes_max
                )

    def sent(self, last: Index, size_bytes: int) -> None:
        """An append with entries up to `last` has left."""
        if self.state is State.PROBE:
            self.probe_sent = True
            self.quiet_ticks = 0
            return
        if last >= self.next:
            self.next = Index(last + 1)
            self._inflight.append((last, size_bytes))
            self.inflight_bytes += size_bytes

    def acknowledged(self, match: Index) -> bool:
        """It has everything up to `match`; whether that is news."""
        while self._inflight and self._inflight[0][0] <= match:
            self.inflight_bytes -= self._inflight.popleft()[1]
        if self.state is State.PROBE:
            self.probe_sent = False
        news = match > self.match
        if news:
            self.match = match
            self.quiet_ticks = 0
        self.next = max(self.next, Index(match + 1))
        if self.match >= self.lacks_upto:
            self.lacks_upto = Index(0)
        return news

    def hear(self) -> None:
        """It answered something."""
        self.heard, self.silent = True, False

    def told(self, last_index: Index, *, recovering: bool) -> bool:
        """It said whether it is without its log; the leader's last index is now `last_index`. Whether that is news."""
        self.known = True
        lost, self.recovers = recovering and not self.recovers, recovering
        if not recovering:
            self.lacks_upto = Index(0)
        elif not self.lacks_upto:
            self.lacks_upto = last_index
        return lost

    def check(self) -> None:
        """An election time has passed."""
        self.known, self.silent, self.heard = True, not self.heard, False
        if self.silent:
            self.forget_beginning()

    def forget_beginning(self) -> None:
        """It is over, or void: where the follower ends is not known, or above the floor."""
        self.beginning = None
        self.below_floor = False

    def probe_from(self, next_index: Index) -> None:
        """Look again where the logs part. What was rejected before is late: it says nothing about what comes now."""
        self.search += 1
        self.state = State.PROBE
        self.probe_sent = False
        self.next = max(next_index, Index(self.match + 1))
        self._forget_inflight()

    def replicate(self) -> None:
        """The logs agree up to `match`: send ahead from there."""
        self.state = State.REPLICATE
        self.next = Index(self.match + 1)
        self._forget_inflight()

    def install(self) -> None:
        """The fold has left."""
        self.state = State.INSTALL
        self.quiet_ticks = 0
        self._forget_inflight()

    def start_over(self, match: Index) -> None:
        """It lost what it had acknowledged beyond `match`."""
        self.match = match
        self.probe_from(Index(match + 1))

    @property
    def has_inflight(self) -> bool:
        """Whether something was sent that is not acknowledged."""
        return bool(self._inflight)

    def _forget_inflight(self) -> None:
        self._inflight.clear()
        self.inflight_bytes = 0

    def validate(self) -> None:
        """What must hold at all times."""
        assert self.match < self.next, f"match {self.match} is not below next {self.next}"
        assert self.beginning is None or self.below_floor, "whoever begins anew is known to end below the floor"
        assert self.inflight_bytes == sum(size for _, size in self._inflight)
