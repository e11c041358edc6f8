"""What a node lets others see of it: whether it is alive, whether it is ready, and its metrics.

- *Alive*: its loop turns, and what it writes gets written. What ends a node by itself (a failed sync, a broken
  invariant) needs no probe; this finds what hangs. A supervisor that restarts what is not alive does no harm.
- *Ready*: it knows the cluster's metadata, its replicas are open, and it is not about to stop. Not more: without a
  controller records go on, and with a full disk reading does, so such a node is ready, and says that it is degraded.
  A load balancer that took it out would take away what works.
"""

import asyncio
from typing import TYPE_CHECKING

from cluster.node.metrics.lags import Lags
from cluster.wire.health import Health

if TYPE_CHECKING:
    from cluster.node.metrics.exposition import Exposition
    from cluster.node.node import Node


class Seeing:
    """Of one node."""

    def __init__(self, node: "Node") -> None:
        self.health = Health()
        self.stopping = False
        self._node = node
        self._clock = node.world.clock
        self._options = node.config.seeing
        self._beat_s = self._clock.monotonic_s()
        self._lags = Lags(node)
        self._exposition: Exposition | None = None

    async def run(self) -> None:
        """Look at the loop, and tell who watches the node's health, until cancelled."""
        looking = asyncio.create_task(self._lags.run(), name="seeing/lags")
        try:
            while True:
                self.tell()
                began_s = self._beat_s = self._clock.monotonic_s()
                await asyncio.sleep(self._options.beat_s)
                late_s = self._clock.monotonic_s() - began_s - self._options.beat_s
                self._node.meters.loop_late.observe(max(late_s, 0.0))
                if looking.done():
                    looking.result()
        finally:
            looking.cancel()

    def tell(self) -> None:
        """Health checks say from now on what is so now."""
        if not self.stopping:
            self.health.set_serving(serving=not self.waiting_for())

    def stop(self) -> None:
        """The node is about to stop: it is not ready any more."""
        self.stopping = True
        self.health.set_serving(serving=False)

    # --- what is asked: see `cluster.broker.web.seen`

    def hangs(self) -> str:
        """What does not move, in a sentence; empty: it is alive."""
        now_s = self._clock.monotonic_s()
        busy_s = self._node.writer.timing.under_way_s(now_s)
        if now_s - self._beat_s > self._options.stuck_s:
            return f"the event loop did not turn for {now_s - self._beat_s:.0f} s"
        if busy_s is not None and busy_s > self._options.stuck_s:
            return f"the disk has not finished a write for {busy_s:.0f} s"
        return ""

    def waiting_for(self) -> str:
        """What keeps this node from taking requests; empty: it is ready."""
        broker = self._node.broker
        if self.stopping:
            return "its end: it is stopping"
        if not broker.directory.version:
            return "the controller's first word"
        return "" if broker.reconciled else "its replicas to be opened"

    def knows_controller(self) -> bool:
        """Whether there is one that this node can reach: where the links are cut it goes on believing in the last."""
        return self._node.controller.deciding().leader is not None

    def degraded(self) -> list[str]:
        """What it can not do though it is ready, in sentences."""
        found = []
        if not self.knows_controller():
            found.append("there is no controller: topics, groups' homes and apps cannot be made or changed")
        if any(running.replica.log.full for running in self._node.broker.running.values()):
            found.append("the disk is full: what is led here takes no records")
        return found

    def metrics(self, accept: str) -> tuple[str, bytes]:
        """Content type and page."""
        if self._exposition is None:
            from cluster.node.metrics.collecting import Collecting  # noqa: PLC0415  only where somebody scrapes
            from cluster.node.metrics.exposition import Exposition  # noqa: PLC0415

            self._exposition = Exposition(Collecting(self._node, self._lags))
        return self._exposition.page(accept)
