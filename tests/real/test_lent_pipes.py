"""Pipes that are handed to a loop: their descriptors are closed once, whoever gets the number next."""

import os
from pathlib import Path

import uvloop

from cluster.real.host_process import lent


def test_a_number_that_somebody_else_has_got_is_left_alone() -> None:
    """Regression: uvloop closed a number twice; a log had got it in between, and the node ended with EBADF."""
    reading, writing = os.pipe()
    loop = uvloop.new_event_loop()
    given = lent(loop, os.fdopen(reading, "rb", buffering=0))
    number = given.fileno()
    os.close(number)  # as libuv does
    with Path(os.devnull).open("rb") as other:
        os.dup2(other.fileno(), number)  # the next file gets the number

    given.close()

    os.fstat(number)
    os.close(number)
    os.close(writing)
    loop.close()
