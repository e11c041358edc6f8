"""The controller's quorum in one process: the real library behind its guards; disks, time and mail are in our hands."""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from typing import Any

import msgspec

from cluster.config import ControllerOptions
from cluster.controller.commands import Barrier, Proposal, RegisterNode, encode
from cluster.controller.quorum.adapter import PySyncObjQuorum
from cluster.errors import RiverrunError
from cluster.sim.disk import SimDisk
from cluster.types import NodeId

Message = dict[str, Any]
STEP_S = 0.02


class HandClock:
    """Goes on when told."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def monotonic_s(self) -> float:
        """See World. Every look costs a little, as in the world: the library waits for time to pass."""
        self.now_s += 1e-6
        return self.now_s

    def wall_ns(self) -> int:
        """See World."""
        return int(self.now_s * 1e9)


def command(number: int, size: int = 0) -> bytes:
    """A command that can be told from others."""
    if not size:
        return encode(Proposal(client=b"c" * 8, number=number, command=Barrier()))
    big = RegisterNode(node=1, client_address="x" * size, peer_address="", version="", rack="")
    return encode(Proposal(client=b"c" * 8, number=number, command=big))


class Members:
    """Nodes 1 … count. Mail is delivered in order, link by link, unless `allow` refuses it."""

    def __init__(self, count: int = 3, seed: int = 1) -> None:
        self.clock = HandClock()
        self.random = random.Random(seed)
        self.nodes = [NodeId(number) for number in range(1, count + 1)]
        self.disks = {node: SimDisk(random.Random(seed * 100 + node)) for node in self.nodes}
        self.mail: dict[tuple[NodeId, NodeId], deque[bytes]] = {}
        self.sent: list[tuple[NodeId, NodeId, Message]] = []
        self.running: dict[NodeId, PySyncObjQuorum] = {}
        self.applied: dict[NodeId, list[bytes]] = {}
        self.allow: Callable[[NodeId, NodeId], bool] = lambda _from, _to: True
        self.delay_steps = 0
        for node in self.nodes:
            self.start(node)

    def start(self, node: NodeId) -> None:
        """Start a member on its disk; links to those that run come up."""
        applied: list[bytes] = []

        def apply(data: bytes) -> bytes:
            applied.append(data)
            return b"done"

        quorum = PySyncObjQuorum(
            me=node,
            members=tuple(self.nodes),
            disk=self.disks[node],
            clock=self.clock,
            random=random.Random(self.random.getrandbits(32)),
            options=ControllerOptions(),
            send=lambda to, body: self._send(node, to, body),
            apply=apply,
        )
        quorum.start()
        self.applied[node] = applied
        self.running[node] = quorum
        for other in self.nodes:
            if other != node and other in self.running:
                self.mail[node, other] = deque()
                self.mail[other, node] = deque()
                quorum.peer_up(other)
                self.running[other].peer_up(node)

    def power_loss(self, node: NodeId) -> None:
        """It is gone, with all that it had not synced."""
        del self.running[node]
        self.disks[node].crash()
        for other, quorum in self.running.items():
            quorum.peer_down(node)
            self.mail.pop((node, other), None)
            self.mail.pop((other, node), None)

    def _send(self, me: NodeId, to: NodeId, body: bytes) -> bool:
        self.sent.append((me, to, msgspec.msgpack.decode(body)))
        lane = self.mail.get((me, to))
        if lane is None or not self.allow(me, to):
            return False
        lane.append(body)
        return True

    def step(self, count: int = 1) -> None:
        """Time passes for all; what was sent before arrives."""
        for _ in range(count):
            self.clock.now_s += STEP_S
            arriving = [
                (pair, [lane.popleft() for _ in range(max(len(lane) - self.delay_steps, 0))])
                for pair, lane in self.mail.items()
            ]
            for (sender, to), bodies in arriving:
                for body in bodies:
                    if to in self.running and self.allow(sender, to):
                        self.running[to].receive(sender, body)
            for quorum in list(self.running.values()):
                quorum.tick()

    def leader(self) -> NodeId:
        """Step until one leads; it."""
        for _ in range(500):
            leaders = [node for node, quorum in self.running.items() if quorum.is_leader()]
            if len(leaders) == 1 and all(quorum.leader() == leaders[0] for quorum in self.running.values()):
                return leaders[0]
            self.step()
        raise AssertionError("no leader within ten seconds")

    async def propose(self, node: NodeId, data: bytes, steps: int = 400) -> bytes | RiverrunError:
        """Propose there and step until there is an answer."""
        asked = asyncio.ensure_future(self.running[node].propose(data, timeout_s=60))
        await asyncio.sleep(0)
        for _ in range(steps):
            self.step()
            await asyncio.sleep(0)
            if asked.done():
                error = asked.exception()
                assert error is None or isinstance(error, RiverrunError)
                return error or asked.result()
        asked.cancel()
        raise AssertionError("no answer in time")

    def inject(self, sender: NodeId, to: NodeId, message: Message) -> None:
        """A message that nobody sent, or nobody sent now."""
        self.running[to].receive(sender, msgspec.msgpack.encode(message))

    def core(self, node: NodeId) -> Any:
        """The library's own object, to look at."""
        return self.running[node]._core

    def journal(self, node: NodeId) -> list[tuple[bytes, int, int]]:
        """Its log: command, index, term."""
        return list(self.running[node]._journal._memory)
