"""An event loop whose clock moves only when nothing can run: hours of time-outs pass in milliseconds."""

import asyncio
import selectors


class _JumpingSelector(selectors.SelectSelector):
    """Never waits: where the loop would, its clock jumps to the next timer instead."""

    loop: "VirtualLoop"

    def select(self, timeout=None):
        if timeout is None:
            raise AssertionError("deadlock: everybody waits and no timer is set")
        self.loop.now_s += max(timeout, 0)
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    """asyncio with virtual time from 0."""

    def __init__(self):
        selector = _JumpingSelector()
        self.now_s = 0.0
        super().__init__(selector)
        selector.loop = self

    def time(self):
        return self.now_s
