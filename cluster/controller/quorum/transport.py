"""PySyncObj's messages over the links between nodes, as plain data, and a pre-vote that it does not have.

PySyncObj starts an election when its time is up and it is connected to anyone. That "connected" is the only gate it
has, so the pre-vote opens and closes it: a member that has not heard a leader asks the others whether they would see an
election as well, and is told "connected" only while a majority does (thesis §9.6, from outside). A member that cannot
hear, or comes back after a cut, disturbs nobody.
"""

from collections.abc import Callable
from typing import Any

import msgspec
from pysyncobj import SyncObj
from pysyncobj.node import Node
from pysyncobj.transport import Transport

from cluster.controller.quorum.guards import Guards, Message
from cluster.controller.quorum.joining import ANSWER, QUESTION, Joining
from cluster.controller.quorum.journal import DurableJournal
from cluster.errors import DiskFull, InvalidRequest
from cluster.types import NodeId
from cluster.world import Clock

Send = Callable[[NodeId, bytes], bool]
ASK_EVERY_S = 0.1
ANSWER_HOLDS_S = 0.3


class LinkTransport(Transport):  # type: ignore[misc]
    """Behind PySyncObj's Transport interface."""

    def __init__(
        self,
        journal: DurableJournal,
        send: Send,
        clock: Clock,
        quiet_s: float,
        core: SyncObj,
        self_node: Node,
        other_nodes: list[Node],
        *,
        forming: bool,
    ) -> None:
        super().__init__(core, self_node, other_nodes)
        self._core = core
        self._journal = journal
        self._send = send
        self._clock = clock
        self._quiet_s = quiet_s
        """How long without a leader before this member helps another into office."""
        self._members = len(other_nodes) + 1
        self._guards = Guards(core, journal)
        self._joining = Joining(journal, self_node.id, other_nodes if forming else ())  # later, seats say who is new
        self._linked: set[str] = set()
        self._gate_open = False
        self._heard_s = float("-inf")
        self._asked_s = float("-inf")
        self._would: dict[str, float] = {}

    # --- PySyncObj's side

    def send(self, node: Node, message: Message) -> bool:
        """Send, if the link is up, and the disk has room for what has to be on it before."""
        if node.id not in self._linked or not self._joining.done:
            return False
        try:
            return self._put(node.id, self._guards.outgoing(node.id, message))
        except DiskFull:
            return False

    def destroy(self) -> None:
        """Nothing is held here."""

    # --- the node's side

    def receive(self, node: str, body: bytes) -> None:
        """A message came."""
        message = _decode(body)
        kind = message["type"]
        if kind == QUESTION:
            self._put(node, self._joining.answer(node))
        elif kind == ANSWER:
            self._joining.heard(node, message)
        elif not self._joining.done:
            return
        elif kind == "prevote":
            self._answer(node, message)
        elif kind == "prevote_ok":
            self._would[node] = self._clock.monotonic_s()
        else:
            if kind == "append_entries" and message["term"] >= self._core.raftCurrentTerm:
                self._heard_s = self._clock.monotonic_s()
            guarded = self._guards.incoming(node, message)
            if guarded is not None:
                self._onMessageReceived(Node(node), guarded)

    def peer_up(self, node: str) -> None:
        """A link works both ways."""
        self._linked.add(node)
        if self._gate_open:
            self._onNodeConnected(Node(node))

    def peer_down(self, node: str) -> None:
        """It does not."""
        self._linked.discard(node)
        self._guards.disconnected(node)
        self._onNodeDisconnected(Node(node))

    def hears_leader(self, within_s: float) -> bool:
        """Whether this member leads, or a leader has spoken so lately: PySyncObj believes in the last one for ever."""
        return bool(self._core._isLeader()) or self._clock.monotonic_s() - self._heard_s < within_s  # noqa: SLF001

    def is_linked(self, node: str) -> bool:
        """Whether what is sent there now may arrive."""
        return node in self._linked

    def tick(self) -> None:
        """Open or close the gate. RefusedToStart if this member must not take part, for it has lost what it had."""
        self._joining.check()
        now = self._clock.monotonic_s()
        if not self._joining.done:
            self._ask(now, self._joining.question())
        elif self._core._isLeader():  # noqa: SLF001  PySyncObj's public names begin with an underscore
            self._set_gate(is_open=True)
        elif now - self._heard_s < self._quiet_s:
            self._would.clear()
            # A follower stays connected to answer, but an election would need the gate: its time is not up anyway.
            self._set_gate(is_open=True)
        else:
            last = self._journal[-1]
            self._ask(now, {"type": "prevote", "index": last[1], "term": last[2]})
            willing = 1 + sum(now - said < ANSWER_HOLDS_S for said in self._would.values())
            self._set_gate(is_open=willing > self._members // 2)

    def _ask(self, now: float, question: Message) -> None:
        if now - self._asked_s >= ASK_EVERY_S:
            self._asked_s = now
            for node in sorted(self._linked):
                self._put(node, question)

    def _answer(self, node: str, message: Message) -> None:
        last = self._journal[-1]
        quiet = self._clock.monotonic_s() - self._heard_s >= self._quiet_s
        if quiet and not self._core._isLeader() and (message["term"], message["index"]) >= (last[2], last[1]):  # noqa: SLF001
            self._put(node, {"type": "prevote_ok"})

    def _set_gate(self, *, is_open: bool) -> None:
        if is_open != self._gate_open:
            self._gate_open = is_open
            for node in sorted(self._linked):
                if is_open:
                    self._onNodeConnected(Node(node))
                else:
                    self._onNodeDisconnected(Node(node))

    def _put(self, node: str, message: Message) -> bool:
        return self._send(NodeId(int(node)), msgspec.msgpack.encode(message))


def _decode(body: bytes) -> Message:
    try:
        message: Any = msgspec.msgpack.decode(body)
    except msgspec.MsgspecError as error:
        raise InvalidRequest("a quorum message that cannot be read") from error
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise InvalidRequest("a quorum message without a type")
    if isinstance(message.get("entries"), list):
        message["entries"] = [tuple(entry) for entry in message["entries"]]
    return message
