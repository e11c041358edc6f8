"""The wall clock of connectors: they run where user code does, and no world is handed to them."""

import time


def wall_ns() -> int:
    """Nanoseconds since 1970."""
    return time.time_ns()
