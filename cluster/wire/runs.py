"""Runs of one node's process, as another one hears of them: a restart, or two processes under one id? Pure.

A node that starts again has a new incarnation, and the one before is not heard again, but for words that were under
way. If two runs go on taking turns, somebody has started the node twice (from a copy of its directory, say); then the
one that was heard of later is refused for as long as the other is there.
"""

RETURNS_MAX = 4
"""Late words of a process that is gone are a stream or two; beyond so many it is not gone."""
REMEMBERED = 8


class Runs:
    """Of one node."""

    def __init__(self) -> None:
        self._order: list[int] = []
        self._current = 0
        self._returns = 0
        self.refused = 0
        """The younger of two that run at once; 0: there are not two."""

    def opens(self, incarnation: int, *, other_is_heard: bool) -> bool:
        """A run opens a stream; False if it is to be refused. `other_is_heard`: the current one still speaks."""
        if incarnation == self.refused:
            if other_is_heard:
                return False
            self.refused = 0
        if incarnation == self._current:
            return True
        if incarnation not in self._order:
            self._order = [*self._order[1 - REMEMBERED :], incarnation]
            self._returns = 0
        else:
            self._returns += 1
        if self._returns >= RETURNS_MAX and self._current in self._order:
            self.refused = max(incarnation, self._current, key=self._order.index)
            self._returns = 0
            if incarnation == self.refused:
                return False
        self._current = incarnation
        return True
