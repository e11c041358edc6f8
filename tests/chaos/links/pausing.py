"""A process that stands still, and really does."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path


def pause(pid: int) -> None:
    """SIGSTOP; none of its threads runs any more when this returns."""
    os.kill(pid, signal.SIGSTOP)
    while {"T"} != {stat.read_text().rpartition(") ")[2][0] for stat in Path(f"/proc/{pid}/task").glob("*/stat")}:
        time.sleep(0.001)


@contextlib.contextmanager
def paused(pid: int) -> Iterator[None]:
    """Until the end of the block."""
    pause(pid)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
