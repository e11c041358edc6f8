"""Nodes with and without a seat in one process, from one configuration to the next; disks and mail are in our hands.

Each folds into the real state machine. What is acknowledged must be in every fold that is at least as far.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable, Sequence

from cluster.config import ControllerOptions
from cluster.controller.commands import Barrier, CreateTopic, Proposal, RegisterNode, Seal, encode
from cluster.controller.folding import Folding
from cluster.controller.quorum.configurations import Quorums
from cluster.errors import RiverrunError
from cluster.metadata import TopicConfig
from cluster.sim.disk import SimCrash, SimDisk
from cluster.types import NodeId
from tests.controller.quorum.members import STEP_S, HandClock

OPTIONS = ControllerOptions(follow_commands_max=40, state_piece_bytes=700)


class Nodes:
    """Nodes 1 … count, of which the first `first` form the cluster; mail in order, link by link, unless it is cut."""

    quorums_class: type[Quorums] = Quorums
    folding_class: type[Folding] = Folding

    def __init__(self, count: int = 4, first: int = 3, seed: int = 1) -> None:
        self.clock = HandClock()
        self.random = random.Random(seed)
        self.first = tuple(NodeId(node) for node in range(1, first + 1))
        self.nodes = [NodeId(node) for node in range(1, count + 1)]
        self.directories = {node: b"d%d" % node for node in self.nodes}
        self.disks = {node: SimDisk(random.Random(seed * 100 + node)) for node in self.nodes}
        self.mail: dict[tuple[NodeId, NodeId], deque[tuple[int, bytes]]] = {}
        self.running: dict[NodeId, Quorums] = {}
        self.folds: dict[NodeId, Folding] = {}
        self.allow: Callable[[NodeId, NodeId], bool] = lambda _from, _to: True
        self.crashed = 0
        self.refused: dict[NodeId, str] = {}
        self.numbers = 0
        for node in self.nodes:
            self.start(node)

    def start(self, node: NodeId) -> None:
        """Start a node on its disk; links to those that run come up."""
        fold = self.folding_class()
        quorums = self.quorums_class(
            me=node,
            directory=lambda: self.directories[node],
            first=self.first,
            disk=self.disks[node],
            clock=self.clock,
            random=random.Random(self.random.getrandbits(32)),
            options=OPTIONS,
            send=lambda to, number, body: self._send(node, to, number, body),
            fold=fold,
        )
        try:
            quorums.start()
        except SimCrash:
            self.disks[node].crash()
            self.crashed += 1
            return
        self.folds[node], self.running[node] = fold, quorums
        for other in self.nodes:
            if other != node and other in self.running:
                self.mail[node, other], self.mail[other, node] = deque(), deque()
                quorums.peer_up(other)
                self.running[other].peer_up(node)

    def power_loss(self, node: NodeId) -> None:
        """It is gone, with all that it had not synced."""
        if self.running.pop(node, None) is None:
            return
        self.disks[node].crash()
        for other, quorums in self.running.items():
            self.mail.pop((node, other), None)
            self.mail.pop((other, node), None)
            quorums.peer_down(node)

    def wipe(self, node: NodeId) -> None:
        """It comes back with another disk."""
        self.power_loss(node)
        self.disks[node] = SimDisk(random.Random(self.random.getrandbits(32)))
        self.directories[node] = b"w%d" % node

    def _send(self, me: NodeId, to: NodeId, number: int, body: bytes) -> bool:
        lane = self.mail.get((me, to))
        if lane is None or not self.allow(me, to):
            return False
        lane.append((number, body))
        return True

    def step(self, count: int = 1) -> None:
        """Time passes for all; what was sent before arrives."""
        for _ in range(count):
            self.clock.now_s += STEP_S
            arriving = [(pair, list(lane)) for pair, lane in self.mail.items()]
            for lane in self.mail.values():
                lane.clear()
            for (sender, to), messages in arriving:
                for number, body in messages:
                    if to in self.running and sender in self.running and self.allow(sender, to):
                        self._act(to, lambda to=to, s=sender, n=number, b=body: self.running[to].receive(s, n, b))
            for node in list(self.running):
                self._act(node, lambda node=node: self.running[node].tick())

    def _act(self, node: NodeId, act: Callable[[], None]) -> None:
        try:
            act()
        except SimCrash:
            self.crashed += 1
            self.power_loss(node)
        except RiverrunError as error:
            self.refused[node] = error.message
            self.power_loss(node)

    async def propose(self, node: NodeId, proposal: Proposal, steps: int = 100) -> bytes | RiverrunError | None:
        """Propose there and step until there is an answer; None: there is none in time."""
        return (await self.propose_all(node, [proposal], steps))[0]

    async def propose_all(
        self, node: NodeId, proposals: Sequence[Proposal], steps: int = 100
    ) -> list[bytes | RiverrunError | None]:
        """The same, one right behind the other."""
        asked = [
            asyncio.ensure_future(self.running[node].propose(encode(proposal), timeout_s=60)) for proposal in proposals
        ]
        await asyncio.sleep(0)
        for _ in range(steps):
            self.step()
            for _ in range(4):
                await asyncio.sleep(0)
            if all(one.done() for one in asked):
                break
        for one in asked:
            one.cancel()
        answers: list[bytes | RiverrunError | None] = []
        for answer in await asyncio.gather(*asked, return_exceptions=True):
            assert isinstance(answer, bytes | RiverrunError | asyncio.CancelledError), repr(answer)
            answers.append(None if isinstance(answer, asyncio.CancelledError) else answer)
        return answers

    def proposal(self, command: object = None) -> Proposal:
        """One that can be told from others."""
        self.numbers += 1
        return Proposal(client=b"nodes...", number=self.numbers, command=command or Barrier())  # type: ignore[arg-type]

    def topic(self) -> Proposal:
        """A topic that can be told from others, so that a fold shows whether it has the command."""
        name = f"t{self.numbers + 1}"
        create = CreateTopic(
            name=name,
            id=name.encode().rjust(16, b"0"),
            placements=[[1]],
            replicas=1,
            if_absent=True,
            config=TopicConfig(),
        )
        return self.proposal(create)

    async def done(self, proposal: Proposal, tries: int = 40) -> None:
        """Propose it, wherever somebody runs, until it is done."""
        for _ in range(tries):
            if not self.running:
                self.step(10)
                continue
            answer = await self.propose(self.random.choice(list(self.running)), proposal)
            if isinstance(answer, bytes):
                return
            self.step(10)
        raise AssertionError(f"{proposal.command} was not done")

    async def form(self) -> None:
        """All register."""
        for node in self.nodes:
            register = RegisterNode(
                node=node,
                client_address="c",
                peer_address="p",
                version="",
                rack="",
                directory=self.directories[node],
            )
            await self.done(self.proposal(register))

    def sealing(self, members: list[NodeId]) -> Proposal:
        """To these members, from whatever the newest configuration is."""
        number = max(fold.state.quorum.number for fold in self.folds.values())
        return self.proposal(Seal(number=number + 1, seats=[(node, self.directories[node]) for node in members]))
