"""Which outputs to send next to each destination, and what the answers mean. Pure.

Outputs of committed commits are sent by whoever leads the task; one that leads no more, and does not know it, may go
on: it sends the same bytes. Destinations know them by the task's producer id, the commit's term as epoch, and dense
sequences, and decide as `cluster.broker.sequences` says. All of a task's outputs for a destination stand in one queue
here, in the order of their sequences; up to `batches_in_flight_max` are under way, which is no more than the batches
that a destination remembers of a producer. Rules:

1. A receipt is of a batch that is committed at its destination, and so is everything before it in the queue: it stands
   before it in that partition's log. Only receipts settle anything.
2. FENCED: a batch of a later term is in the destination's log, and so this one is, for it comes before: sequences are
   dense, and epochs do not fall with them. DUPLICATE_FORGOTTEN: likewise. But what is in the leader's log there need
   not be committed; so it is not sent again, and not settled either: that is for the receipt of a later batch. If there
   is no later one here, somebody who leads the task knows more: wait.
3. A gap (OUT_OF_SEQUENCE that expects less, or UNKNOWN_PRODUCER) says that an earlier batch has not arrived: send all
   again from the first unsettled one. If this was the first one, the destination has lost what it had committed: stop.
4. Not done, or outcome unknown: send all again from the first unsettled one, after a pause.
5. TOPIC_DELETED: the destination is gone for good; a topic of its name has another id. What was for it is settled, for
   had it arrived it would be gone, too; the output is stopped, visibly.
6. Anything else is refused for good: the output is stopped, visibly, and nothing of it is settled, so the task cannot
   go on for ever. Somebody who leads the task later tries again.

`shipped_upto` is the last commit up to which all outputs of all commits are settled.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field

from cluster.errors import (
    DuplicateForgotten,
    Fenced,
    Outcome,
    OutOfSequence,
    RiverrunError,
    TopicDeleted,
    UnknownProducer,
    UnknownTopic,
)
from cluster.processing.commit import Outgoing
from cluster.types import PartitionId


@dataclass(frozen=True, slots=True)
class Send:
    """A batch to be sent: number `number` of the outputs of commit `n`.

    `first`: everything before it is settled. `attempt`: answers to earlier ones of a destination say less.
    """

    destination: PartitionId
    n: int
    number: int
    base_sequence: int
    end_sequence: int
    attempt: int
    first: bool


@dataclass(slots=True)
class _Item:
    n: int
    number: int
    base_sequence: int
    end_sequence: int
    bytes: int
    arrived: bool = False
    """In the destination's log; whether committed is not known."""


@dataclass(slots=True)
class _Lane:
    """The queue of one destination: of its items the first `sent` were sent in this attempt."""

    queue: deque[_Item] = field(default_factory=deque)
    sent: int = 0
    arrived: int = 0
    attempt: int = 1
    paused: bool = False

    def rewind(self) -> None:
        """All of it is to be sent again."""
        self.attempt += 1
        self.sent = self.arrived = 0
        for item in self.queue:
            item.arrived = False


class Shipping:
    """Of one leader of a task, from when it leads until it does no more.

    `stopped`: destinations that are not sent to any more, and why. `bytes`: what is not settled: whoever makes commits
    waits when it is too much. `undeliverable`: records for destinations that are gone.
    """

    def __init__(self, shipped_upto: int, batches_in_flight_max: int) -> None:
        self.shipped_upto = shipped_upto
        self.stopped: dict[PartitionId, RiverrunError] = {}
        self.bytes = 0
        self.undeliverable = 0
        self._in_flight_max = batches_in_flight_max
        self._lanes: dict[PartitionId, _Lane] = {}
        self._unsettled: deque[list[int]] = deque()  # n, batches
        self._last = shipped_upto

    def committed(self, n: int, outputs: Iterable[Outgoing]) -> None:
        """The task's log has committed and accepted commit `n`. All behind `shipped_upto` are told, in their order."""
        assert n == self._last + 1, f"commit {n} after {self._last}"
        self._last = n
        count = 0
        for number, output in enumerate(outputs):
            item = _Item(n, number, output.base_sequence, output.end_sequence, len(output.payload))
            if isinstance(self.stopped.get(output.destination), TopicDeleted):
                self.undeliverable += output.record_count
                continue
            count += 1
            self.bytes += item.bytes
            self._lanes.setdefault(output.destination, _Lane()).queue.append(item)
        self._unsettled.append([n, count])
        self._advance()

    def take(self) -> list[Send]:
        """What is to be sent now; it counts as under way until it is answered."""
        sends = []
        for destination, lane in self._lanes.items():
            if lane.paused or destination in self.stopped:
                continue
            while lane.sent < len(lane.queue) and lane.sent - lane.arrived < self._in_flight_max:
                item = lane.queue[lane.sent]
                first = lane.sent == 0
                sends.append(
                    Send(destination, item.n, item.number, item.base_sequence, item.end_sequence, lane.attempt, first)
                )
                lane.sent += 1
        return sends

    def received(self, send: Send) -> None:
        """The destination gave a receipt, a duplicate's or not: it is committed there."""
        lane = self._lanes.get(send.destination)
        if lane is not None:
            self._settle(lane, send.end_sequence)
            self._advance()

    def refused(self, send: Send, error: RiverrunError) -> None:
        """The destination, or the way to it, said no. A pause may follow: see `paused`."""
        lane = self._lanes.get(send.destination)
        if lane is None or send.destination in self.stopped:
            return
        if isinstance(error, TopicDeleted):
            self._gone(send.destination, lane, error)
            return
        if send.attempt != lane.attempt or not lane.queue or send.end_sequence <= lane.queue[0].base_sequence:
            return  # it was sent again since, or is settled
        if isinstance(error, Fenced | DuplicateForgotten):
            self._arrived(lane, send)
        elif isinstance(error, UnknownProducer) or (
            isinstance(error, OutOfSequence) and int(error.metadata.get("expected", "0")) < send.base_sequence
        ):
            if send.first:
                self.stopped[send.destination] = error
            else:
                lane.rewind()
        elif error.retry or error.outcome is Outcome.UNKNOWN or isinstance(error, UnknownTopic):
            # Of an id that is known, UnknownTopic means that the node asked has not heard of it yet.
            lane.rewind()
            lane.paused = True
        else:
            self.stopped[send.destination] = error

    @property
    def paused(self) -> list[PartitionId]:
        """Destinations that wait for `again`."""
        return [destination for destination, lane in self._lanes.items() if lane.paused]

    @property
    def waiting(self) -> list[PartitionId]:
        """Destinations for which something is not settled."""
        return [destination for destination, lane in self._lanes.items() if lane.queue]

    def again(self, destination: PartitionId) -> None:
        """The pause is over."""
        lane = self._lanes.get(destination)
        if lane is not None:
            lane.paused = False

    def _arrived(self, lane: _Lane, send: Send) -> None:
        for item in lane.queue:
            if (item.n, item.number) == (send.n, send.number) and not item.arrived:
                item.arrived = True
                lane.arrived += 1
        if lane.queue[-1].arrived:
            lane.rewind()
            lane.paused = True

    def _settle(self, lane: _Lane, end_sequence: int) -> None:
        while lane.queue and lane.queue[0].end_sequence <= end_sequence:
            item = lane.queue.popleft()
            lane.sent = max(lane.sent - 1, 0)
            lane.arrived -= item.arrived
            self.bytes -= item.bytes
            self._unsettled[item.n - self._unsettled[0][0]][1] -= 1

    def _gone(self, destination: PartitionId, lane: _Lane, error: RiverrunError) -> None:
        self.stopped[destination] = error
        self.undeliverable += sum(item.end_sequence - item.base_sequence for item in lane.queue)
        if lane.queue:
            self._settle(lane, lane.queue[-1].end_sequence)
        del self._lanes[destination]
        self._advance()

    def _advance(self) -> None:
        while self._unsettled and not self._unsettled[0][1]:
            self.shipped_upto = self._unsettled.popleft()[0]
