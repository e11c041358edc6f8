"""What a node's tasks tell about themselves and can be asked: all that the service of apps knows of tasks.

Only whoever leads a task's log can tell; so each of these is asked at that node.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from cluster.processing.work import Failure
from cluster.types import NodeId, Offset, PartitionId, Term


class TaskState(StrEnum):
    """What a task is doing."""

    RUNNING = "running"
    PAUSED = "paused"
    STOPPED = "stopped"
    """By an error of user code that `on_error` makes it stop at, or because a topic was deleted: it goes on when it is
    resumed, or other code is deployed."""
    WAITING = "waiting"
    """For something: its code's process, a leader of an input, a slow destination."""
    FINISHED = "finished"
    """Every input is at its `until`."""


class Position(NamedTuple):
    """How far an input's partition was read; `end` -1: its leader did not say."""

    input: int
    partition: int
    position: Offset
    end: int


class Progress(NamedTuple):
    """Of what there is to be read up to `until`, in offsets of all partitions together, or of what a source captures.

    `total` 0: it is not known. `what` is counted; "": records.
    """

    done: int
    total: int
    what: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskStatus:
    """One task, as its node sees it now. `why`: a sentence; empty if all is fine.

    `watermark_ns`: BEFORE_ALL_TIME_NS if there is none. `lag_records`, `lag_s`: -1 where an end is not known; of all
    inputs together, and of the one that is furthest behind. `counts`: as in `Effects`, since the task's beginning.
    `restarts`: of what runs its code, here and since it leads. `error_traceback`: of the last error of user code.
    `failure`: the last record that was passed over or put aside, ever. `retrying`: records that wait for their next
    attempt. Rates are of the last ten seconds. `progress`: of inputs that end (`until`). `redrive_left`: dead letters
    that the redrive which is under way has still to handle.
    """

    state: TaskState
    why: str
    node: NodeId
    term: Term
    commits: int
    watermark_ns: int
    restarts: int
    positions: list[Position] = field(default_factory=list)
    lag_records: int = -1
    lag_s: float = -1.0
    unshipped_bytes: int = 0
    timers: int = 0
    counts: dict[str, int] = field(default_factory=dict)
    state_bytes: int = 0
    error_traceback: str = ""
    failure: Failure | None = None
    retrying: int = 0
    records_in_per_s: float = 0.0
    records_out_per_s: float = 0.0
    progress: Progress | None = None
    redrive_left: int = 0


class Tasks(Protocol):
    """The tasks of one node."""

    async def status(self, partition: PartitionId) -> TaskStatus:
        """Of the task whose log this is. NotLeader: it is not led here."""

    def resume(self, partition: PartitionId) -> None:
        """If it has stopped it goes on. NotLeader: it is not led here."""

    async def redrive(self, partition: PartitionId) -> int:
        """Begin to handle its dead letters again; how many there are. NotLeader; InvalidRequest: it keeps none."""
