"""User code: tasks, the processes that it runs in, external workers."""

from dataclasses import dataclass
from typing import Literal

from cluster.config.sizes import KIB, MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ProcessingOptions:
    """Apps on a node: their tasks, and the processes that their code runs in."""

    deploy_from_anywhere: bool = False
    """Take code from beyond loopback, too: whoever reaches the port can then run what they like on the nodes."""
    code_bytes_max: int = 32 * MIB
    """Of one file that is deployed."""
    code_piece_bytes_max: int = 512 * KIB
    """Of a file that is uploaded, and stored, in pieces."""
    code_wait_s_max: float = 30.0
    """Until a piece is stored, or a file is read, through changes of leaders."""
    code_cache_bytes_max: int = 64 * MIB
    """Files that a node has read are kept, as far as they fit."""
    code_unused_s: float = 86_400.0
    """Files that no app has for so long go from the cluster."""
    code_look_s: float = 600.0
    """It is looked so often whether there are any."""
    describe_wait_s_max: float = 3.0
    """For what another node says of its tasks."""
    traceback_bytes_max: int = 16 * KIB
    """Of the last error of one task, as it is told."""
    host_start_s_max: float = 30.0
    """Until user code is imported."""
    work_s_max: float = 30.0
    """For one work; beyond it the process is taken to hang, and killed."""
    connector_work_s_max: float = 300.0
    """The same where a source or a sink is alone in its process: a destination may be slow."""
    host_memory_bytes_max: int = 1024 * MIB
    """Of the address space of one process with user code."""
    restart_s_min: float = 0.1
    restart_s_max: float = 30.0
    """Between starts of a process that ends again and again: doubled each time."""
    host_works_max: int = 2
    """Handed to one process ahead, so that it need not wait for its next one; it does one after another."""
    host_frame_bytes_max: int = 32 * MIB
    """Of what comes of one work, and of everything else that a process with user code says at once."""
    host_idle_s: float = 60.0
    """A process that no task uses is kept for so long."""
    host_end_s_max: float = 1.0
    """A process whose connection has ended may take so long to end."""
    host_output_lines_per_s_max: int = 100
    """What user code prints, in the node's log, of one process; the rest is counted."""
    host_output_bytes_per_s_max: int = 8 * MIB
    """Whoever prints more has to wait."""
    host_environment: tuple[str, ...] = ()
    """Names of the node's environment variables that user code and routes get, beside PATH, LANG, LC_ALL, TZ and
    PYTHONPATH; `SHOP_*` are all that begin so, `*` all."""
    workers_max: int = 1_000
    """External workers that may be connected to one node. 0: none."""
    work_bytes_max: int = 1 * MIB
    """Of the batches of one work."""
    work_records_max: int = 10_000
    commit_bytes_max: int = 16 * MIB
    """What comes of one work; of more, smaller works are made."""
    catch_up_pause: float = 0.5
    """A task that is far behind rests for so much of the time that a work took: what is live comes first. 0: never."""
    uncommitted_works_max: int = 2
    """Of one task, made ahead of its log."""
    unshipped_bytes_max: int = 16 * MIB
    """Of one task: with more outputs committed and not at their destinations it makes no more."""
    delete_read_s: float = 30.0
    """Of a topic between stages what its reader had committed the last time is deleted so often."""
    flush_interval_s: float = 5.0
    """State is made durable so often, while it changes."""
    store: Literal["sqlite", "lmdb"] = "sqlite"
    """What the node keeps state in: lmdb (riverrun[lmdb]) reads and applies faster; `processing/store_lmdb.py` says at
    what price. State that is there in the other one is moved at the next start."""
    snapshot_chunk_bytes: int = 1 * MIB
    lagging_bytes_max: int = 64 * MIB
    """A follower of a task's log that is further behind is not waited for: it gets the task's state."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerOptions:
    """An external worker (`riverrun worker`): how it finds nodes, and what it bounds."""

    nodes_interval_s: float = 5.0
    """It asks so often which nodes there are."""
    request_timeout_s: float = 3.0
    retry_s_min: float = 0.1
    retry_s_max: float = 5.0
    """Before it connects again to a node that is gone, or starts user code again that ended: doubled each time."""
    start_s_max: float = 60.0
    """Until user code is imported."""
    frame_bytes_max: int = 32 * MIB
    output_lines_per_s_max: int = 10_000
    output_bytes_per_s_max: int = 64 * MIB
