"""Whether the quorum can decide, as one node sees it; what whoever asks is told if it cannot."""

from cluster.config import ControllerOptions
from cluster.controller.observing import Observations
from cluster.controller.quorum import Quorum
from cluster.controller.state import MetadataState
from cluster.errors import OutcomeUnknown, RiverrunError
from cluster.metadata import Deciding
from cluster.world import Clock


class Majority:
    """One node's view. `look` is called often."""

    def __init__(
        self,
        quorum: Quorum,
        state: MetadataState,
        observed: Observations,
        clock: Clock,
        options: ControllerOptions,
    ) -> None:
        self._quorum = quorum
        self._state = state
        self._observed = observed
        self._clock = clock
        self._options = options
        self._missing_since_s: float | None = None

    def now(self) -> Deciding:
        """Whether anything can be decided now."""
        members, heard, leader = self._quorum.members(), self._observed.up(), self._quorum.leader()
        return Deciding(
            members=members,
            silent=tuple(node for node in members if node not in heard),
            heard=frozenset(heard),
            leader=leader if leader in heard else None,
            recoveries=tuple(self._state.recoveries),
        )

    def look(self) -> None:
        """Notice that it is gone, or there again."""
        if self.now().has_majority:
            self._missing_since_s = None
        elif self._missing_since_s is None:
            self._missing_since_s = self._clock.monotonic_s()

    def is_gone(self) -> bool:
        """Whether none has been heard for so long that nobody has to wait for one."""
        since_s = self._missing_since_s
        long = since_s is not None and self._clock.monotonic_s() - since_s >= self._options.no_majority_wait_s
        return long and not self.now().has_majority

    def told(self, error: RiverrunError) -> RiverrunError:
        """The same error, with what stands in the way, if anything does."""
        trouble = self.now().trouble
        if not trouble:
            return error
        unknown = "it is not known whether that was decided: " if isinstance(error, OutcomeUnknown) else ""
        return type(error)(unknown + trouble)
