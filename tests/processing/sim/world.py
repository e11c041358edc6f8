"""A task under faults: three nodes with its log, its inputs, its destinations, and a storm that ends.

Everything that decides is the real code: commits, ledger, applying, stores, shipping, the destinations' rules. Chance
chooses what happens next, one small thing after another; the same seed gives the same run. See `mix` for the faults,
`verdict` for what must hold at the end.
"""

from collections import Counter
from random import Random

from cluster.errors import OutcomeUnknown, RiverrunError
from cluster.processing.commit import Begin, batches, encode
from cluster.processing.ledger import Ledger
from cluster.processing.shipping import Send
from cluster.records import Batch
from cluster.types import Offset, PartitionId, TopicId
from tests.processing.sim.destination import Destination
from tests.processing.sim.group import Group
from tests.processing.sim.mix import Mix, draw
from tests.processing.sim.node import Node
from tests.processing.sim.planted import RIGHT, Rules
from tests.processing.sim.task import PRODUCER, Task
from tests.processing.sim.verdict import judge

HEAL_ROUNDS_MAX = 400
_OF_NODES = {
    "make",
    "propose",
    "turn",
    "apply",
    "start",
    "replicate",
    "elect",
    "crash",
    "restart",
    "host_crash",
    "flush",
    "trim",
    "install",
    "ship",
    "again",
}
"""Actions of one node; the others are of the world."""
_OF_LEADERS = {"make", "propose", "turn", "start", "replicate", "ship", "again", "host_crash"}
"""Mostly of nodes that lead, or believe so."""


class World:
    """One seed, with the rules that hold in it."""

    def __init__(self, seed: int, rules: Rules = RIGHT) -> None:
        self.random = Random(seed)
        self.mix: Mix = draw(self.random)
        self.rules = rules
        self.counts: Counter[str] = Counter()
        self.now = 0
        self.steps = 0
        self.group = Group(self.random, self.counts, rules.ledger)
        self.nodes = [
            Node(replica, self.group, rules.ledger, self.random, self.counts) for replica in self.group.replicas
        ]
        topics = range(self.mix.inputs)
        self.inputs = {
            PartitionId(TopicId(b"in%014d" % topic), topic): [
                self.random.randrange(self.mix.keys) for _ in range(self.mix.records)
            ]
            for topic in topics
        }
        self.readable = dict(self.inputs)
        self.destinations = {
            partition: rules.destination(partition, self.random, self.counts)
            for partition in (
                PartitionId(TopicId(b"out%013d" % topic), topic) for topic in range(self.mix.destinations)
            )
        }
        self.made_anew: dict[PartitionId, Destination] = {}
        self._network: list[tuple[Task, Send, Batch]] = []
        self._late: list[tuple[Task, Send, Batch]] = []
        self._stormy = True
        self._begin = encode(
            Begin(
                app="a",
                processor="p",
                version="1",
                task=0,
                tasks=1,
                producer=PRODUCER,
                inputs=[(partition, Offset(0)) for partition in self.inputs],
                outputs=[partition.topic for partition in self.destinations],
            )
        )
        self._to_delete = self.random.random() < self.mix.deleted
        self._input_to_delete = self.random.random() < self.mix.deleted_input

    def run(self) -> None:
        """The storm, then peace, then the verdict; AssertionError says what was wrong."""
        actions, weights = zip(*((name, weight) for name, weight in self.mix.weights.items() if weight), strict=True)
        for _ in range(self.mix.steps):
            self.step(self.random.choices(actions, weights)[0])
        self._stormy = False
        self._heal()
        judge(self)

    def step(self, action: str) -> None:
        """One thing happens, to anybody that it can happen to."""
        self.steps += 1
        self.now += self.random.random() < 0.2
        nodes = self.nodes
        if action in _OF_LEADERS and self.random.random() < 0.8:
            nodes = [node for node in nodes if node.replica.leading or node.task is not None] or nodes
        node = self.random.choice(nodes)
        if action in _OF_NODES and (node.replica.up or action == "restart"):
            getattr(self, f"_{action}")(node)
        elif action not in _OF_NODES:
            getattr(self, f"_{action}")()

    # --- nodes

    def _make(self, node: Node) -> None:
        if node.task is not None:
            node.task.make(self.now)

    def _propose(self, node: Node) -> None:
        for task in [node.task, *node.ghosts]:
            if task is not None and task.made and (not task.stopped or self.random.random() < self.mix.ghost / 2):
                n, command = task.made.pop(0)
                task.unanswered.add(n)
                node.mailbox.append((task, n, command))

    def _turn(self, node: Node) -> None:
        node.turn(self.mix.drop_proposal if self._stormy else 0)

    def _apply(self, node: Node) -> None:
        node.apply(self.random.randint(1, 4))

    def _start(self, node: Node) -> None:
        replica = node.replica
        if replica.leading and node.applying.ledger.begin is None and self.random.random() < 0.5:
            self.group.append(replica, self._begin)
        node.start(self._task)

    def _task(self, node: Node, ledger: Ledger) -> Task:
        return self.rules.task(
            term=node.replica.leading,
            ledger=ledger,
            store=node.store,
            inputs=self.readable,
            destinations=list(self.destinations),
            mix=self.mix,
            random=self.random,
            counts=self.counts,
        )

    def _replicate(self, node: Node) -> None:
        others = [other for other in self.nodes if other is not node and other.replica.up]
        if not node.replica.leading or not others:
            return
        other = self.random.choice(others)
        if other is self.nodes[-1] and self._stormy and self.random.random() < self.mix.lag:
            return
        led = other.replica.leading
        if self.group.replicate(node.replica, other.replica, self.random.randint(1, 5)):
            if led and not other.replica.leading:
                self._deposed(other)
        elif self.random.random() < 0.3:
            node.replica.leading = 0
            self._deposed(node)

    def _deposed(self, node: Node) -> None:
        zombie = self._stormy and self.random.random() < self.mix.zombie
        if zombie and node.task is not None:
            self.counts["leaders_deposed_unnoticed"] += 1
        node.deposed(zombie)

    def _elect(self, node: Node) -> None:
        led = [other for other in self.nodes if other.replica.leading]
        voters = self.group.elect(node.replica)
        if voters:
            node.deposed(zombie=False)  # whoever leads anew starts anew, whatever it had not noticed
        for other in led:
            if other is not node and other.replica in voters:
                other.replica.leading = 0
                self._deposed(other)

    def _crash(self, node: Node) -> None:
        self.counts["crashes"] += 1
        node.crash()

    def _restart(self, node: Node) -> None:
        node.replica.up = True

    def _host_crash(self, node: Node) -> None:
        if node.task is not None:
            self.counts["hosts_crashed"] += 1
            node.deposed(zombie=False)

    def _flush(self, node: Node) -> None:
        node.store.flush()

    def _trim(self, node: Node) -> None:
        if not node.needs_state:
            self.group.trim(node.replica, node.applying.trim_limit())

    def _install(self, node: Node) -> None:
        node.install([other for other in self.nodes if other is not node and other.replica.up], self.mix.chunk_bytes)

    # --- shipping

    def _ship(self, node: Node) -> None:
        for task in [node.task, *node.ghosts]:
            if task is None or (task.stopped and self.random.random() < 0.5):
                continue
            for send in task.take():
                item = node.replica.at(node.indices[send.n])
                if item is None or not item.command:
                    leads = task is node.task and node.replica.leading == max(r.term for r in self.group.replicas)
                    assert not leads, f"the outputs of commit {send.n} were trimmed away before they were shipped"
                    continue
                commit = node.commit_at(item.index)
                if commit.n != send.n:
                    continue  # of a log that was replaced: somebody who was deposed long ago
                batch = batches(commit, PRODUCER)[send.number]
                self.counts["batches_sent"] += 1
                self.counts["batches_sent_by_zombies"] += task.term < max(r.term for r in self.group.replicas)
                self._network.append((task, send, batch))

    def _deliver(self) -> None:
        if self._late and self.random.random() < 0.05:
            self._network.append(self._late.pop(self.random.randrange(len(self._late))))
        if not self._network:
            return
        at = self.random.randrange(len(self._network)) if self.random.random() < 0.5 else 0
        task, send, batch = self._network[at]
        if self._stormy and self.random.random() < self.mix.duplicates:
            self.counts["requests_duplicated"] += 1
            if self.random.random() < self.mix.late:
                self._late.append(self._network[at])
        else:
            del self._network[at]
        if self._stormy and self.random.random() < self.mix.loss:
            self.counts["requests_lost"] += 1
            task.shipping.refused(send, OutcomeUnknown("lost"))
            return
        self.rules.address(self, send.destination).publish(batch, lambda error: self._answer(task, send, error))

    def _answer(self, task: Task, send: Send, error: RiverrunError | None) -> None:
        if self._stormy and self.random.random() < self.mix.loss:
            self.counts["answers_lost"] += 1
            error = OutcomeUnknown("lost")
        stopped = len(task.shipping.stopped)
        if error is None:
            task.shipping.received(send)
        else:
            task.shipping.refused(send, error)
        self.counts["outputs_stopped"] += len(task.shipping.stopped) - stopped

    def _again(self, node: Node) -> None:
        for task in [node.task, *node.ghosts]:
            for destination in task.shipping.paused if task is not None else []:
                task.shipping.again(destination)

    def _destination_commits(self) -> None:
        self.random.choice(list(self.destinations.values())).commit_more()

    def _destination_leader_changes(self) -> None:
        self.random.choice(list(self.destinations.values())).change_leader()

    def _delete(self) -> None:
        """Now and then a topic goes for good, and one of its name is made."""
        if self._to_delete and self.random.random() < 0.2:
            self._to_delete = False
            partition = self.random.choice(list(self.destinations))
            self.destinations[partition].delete()
            anew = PartitionId(TopicId(b"new%013d" % partition.number), partition.number)
            self.made_anew[partition] = self.rules.destination(anew, self.random, self.counts)
            self.counts["destinations_deleted"] += 1
        if self._input_to_delete and self.random.random() < 0.2:
            self._input_to_delete = False
            del self.readable[self.random.choice(list(self.readable))]
            self.counts["inputs_deleted"] += 1

    # --- peace

    def _heal(self) -> None:
        for node in self.nodes:
            node.replica.up = True
            node.ghosts.clear()
        for _ in range(HEAL_ROUNDS_MAX):
            self._peaceful_round()
            if self._is_done():
                return
        raise AssertionError(f"no progress: {self._left()}")

    def _peaceful_round(self) -> None:
        leader = max(self.nodes, key=lambda node: node.replica.leading)
        if leader.replica.leading < max(r.term for r in self.group.replicas) or not leader.replica.leading:
            leader = max(self.nodes, key=lambda node: (node.replica.term_at(node.replica.last), node.replica.last))
            self._elect(leader)
        for node in self.nodes:
            if node is not leader:
                self.group.replicate(leader.replica, node.replica, 50)
                node.replica.leading = 0
                self._deposed(node)
        for node in self.nodes:
            for action in (self._install, self._apply, self._apply, self._flush, self._trim):
                action(node)
        for action in (self._start, self._make, self._propose, self._turn, self._ship, self._again):
            action(leader)
        self.now += 1
        if self._late:
            self._network.append(self._late.pop())
        while self._network:
            self._deliver()
        for destination in self.destinations.values():
            destination.commit_more(len(destination.entries))

    def _is_done(self) -> bool:
        return not self._left()

    def _left(self) -> str:
        at = {node.applying.index for node in self.nodes}
        ledger = self.nodes[0].applying.ledger
        if len(at) > 1 or ledger.begin is None or any(node.needs_state for node in self.nodes):
            return f"nodes are at entries {at}"
        for partition, keys in self.readable.items():
            if ledger.positions[partition] < len(keys):
                return f"{partition} is processed up to {ledger.positions[partition]} of {len(keys)}"
        if len(ledger.timers):
            return f"timers wait: {ledger.timers.plain()}"
        return f"not shipped: {ledger.unshipped}, {ledger.shipped_upto} of {ledger.n}" if ledger.unshipped else ""
