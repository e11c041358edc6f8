"""Is there one order in which a topic's name was made, altered and deleted as its clients saw it? Wing and Gong, Lowe.

A name is a register: nothing, or a topic with an id that never comes again. Each operation took effect at one moment
between its beginning and its end; one of unknown outcome at any moment after its beginning, or never; one that its
client may have sent several times (`echo_until_s`) takes effect once more, or more often, up to some time. The search
takes, from every set of operations that may have come first, each that may come next, and remembers where it has been
(Lowe's memory: which operations, and what was there then). It is exact, and gives up after so many steps rather than
search for ever.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum

STEPS_MAX = 300_000
"""Of one name. A run's histories take some thousands."""


class Verb(Enum):
    """What an operation does, or sees."""

    CREATE = "create"
    """Makes it where nothing was. Refused: something was there."""
    ENSURE = "ensure"
    """Makes it, or finds one of the same numbers there. Refused: there was one with others."""
    ALTER = "alter"
    """Sets what is kept. Refused: nothing was there."""
    LOOK = "look"
    """Changes nothing. Refused: nothing was there."""
    DELETE = "delete"
    """Removes it. Refused: nothing was there."""


class Result(Enum):
    """What its client was told."""

    DONE = "done"
    REFUSED = "refused"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation. `id`: of the topic that it was told of, empty where it was told none. Times in seconds.

    `partitions` and `kept`: the numbers that a CREATE or ENSURE asks for (`kept` None: whatever is there will do), that
    an ALTER sets (`kept`), that a LOOK saw.
    """

    verb: Verb
    result: Result
    invoked_s: float
    ended_s: float = float("inf")
    id: str = ""
    partitions: int = 0
    kept: int | None = None
    echo_until_s: float = 0.0
    """0: it is done once at most."""
    words: str = ""
    """For people."""


@dataclass(frozen=True, slots=True)
class There:
    """A topic that is there; `id` empty: nobody has been told of it yet."""

    id: str
    partitions: int
    kept: int | None


State = There | None
Reached = tuple[int, State, float]
"""Which operations have come, as bits; what is there then; a time that it cannot be before."""


@dataclass(frozen=True, slots=True)
class Order:
    """What the search found. `decided` False: it gave up."""

    possible: bool
    decided: bool = True
    stuck: Sequence[Operation] = ()
    """Where it got furthest: the operations of which none can come next."""
    steps: int = 0


def find_order(operations: Sequence[Operation], *, steps_max: int = STEPS_MAX) -> Order:
    """Whether there is an order that explains all that ended; nothing is there at first."""
    return _Search(operations).run(steps_max)


@dataclass
class _Search:
    operations: Sequence[Operation]
    told: dict[str, int] = field(default_factory=dict)
    """Of each id the operations that were told of it, as bits."""
    wanted: int = 0
    """Those that have to be in the order."""
    echoing: Sequence[Operation] = ()

    def __post_init__(self) -> None:
        self.operations = sorted(self.operations, key=lambda operation: operation.invoked_s)
        for number, operation in enumerate(self.operations):
            if operation.id:
                self.told[operation.id] = self.told.get(operation.id, 0) | 1 << number
            if operation.result is not Result.UNKNOWN:
                self.wanted |= 1 << number
        self.echoing = [operation for operation in self.operations if operation.echo_until_s]

    def run(self, steps_max: int) -> Order:
        """Depth first."""
        first: Reached = (0, None, 0.0)
        seen, pending = {first}, [first] if self.wanted else []
        furthest, steps = 0, 0
        while pending:
            if steps >= steps_max:
                return Order(possible=True, decided=False, steps=steps)
            steps += 1
            reached = pending.pop()
            done = reached[0]
            if (done & self.wanted).bit_count() > (furthest & self.wanted).bit_count():
                furthest = done
            for following in self._following(reached):
                if following[0] & self.wanted == self.wanted:
                    return Order(possible=True, steps=steps)
                if following not in seen:
                    seen.add(following)
                    pending.append(following)
        stuck = [self.operations[n] for n in self._next(furthest)] if self.wanted else []
        return Order(possible=not self.wanted, stuck=stuck, steps=steps)

    def _next(self, done: int) -> list[int]:
        """Who has begun before any that is left has ended."""
        found = []
        first_end_s = float("inf")
        lowest = (~done & (done + 1)).bit_length() - 1
        for number in range(lowest, len(self.operations)):
            operation = self.operations[number]
            if operation.invoked_s > first_end_s:
                break
            if not done >> number & 1:
                found.append(number)
                first_end_s = min(first_end_s, operation.ended_s)
        return [number for number in found if self.operations[number].invoked_s <= first_end_s]

    def _following(self, reached: Reached) -> Iterator[Reached]:
        """One operation further. What is given last is tried first: those that have ended, the earliest first."""
        done, state, now_s = reached
        come = self._next(done)
        alike: set[tuple[object, ...]] = set()
        for number in come:
            operation = self.operations[number]
            kind = (operation.verb, operation.partitions, operation.kept)
            if operation.result is Result.UNKNOWN and not operation.echo_until_s and kind not in alike:
                alike.add(kind)  # of those that do the same the earliest: none is told from it
                at_s = max(now_s, operation.invoked_s)
                yield from ((done | 1 << number, after, at_s) for after in changed(operation, state))
        first_end_s = min(self.operations[number].ended_s for number in come)
        for operation in self.echoing:
            at_s = max(now_s, operation.invoked_s)
            if operation.invoked_s <= first_end_s and at_s <= operation.echo_until_s:
                yield from ((done, after, at_s) for after in changed(operation, state))
        for number in reversed(come):
            operation = self.operations[number]
            if operation.result is not Result.UNKNOWN:
                at_s = max(now_s, operation.invoked_s)
                yield from ((done | 1 << number, after, at_s) for after in self._noticed(operation, done, state))

    def _noticed(self, operation: Operation, done: int, state: State) -> Iterator[State]:
        """What is there after an operation that ended, if it can come now."""
        if operation.result is Result.REFUSED:
            if refuses(operation, state):
                yield state
            return
        match operation.verb:
            case Verb.DELETE:
                if state is not None:
                    yield None
            case Verb.ALTER:
                if state is not None:
                    yield There(state.id, state.partitions, operation.kept)
            case Verb.LOOK:
                if state is not None and (state.partitions, state.kept) == (operation.partitions, operation.kept):
                    yield from self._known_as(operation.id, done, state)
            case Verb.CREATE | Verb.ENSURE:
                if state is None and not done & self.told[operation.id]:
                    yield There(operation.id, operation.partitions, operation.kept)
                elif operation.verb is Verb.ENSURE and state is not None and suits(operation, state):
                    yield from self._known_as(operation.id, done, state)

    def _known_as(self, topic_id: str, done: int, state: There) -> Iterator[State]:
        """It has this id; or nobody knew its id, and nobody has been told of this one before."""
        if state.id == topic_id or (not state.id and not done & self.told[topic_id]):
            yield There(topic_id, state.partitions, state.kept)


def changed(operation: Operation, state: State) -> Iterator[State]:
    """What is there after an operation that took effect and told nobody, if it did anything."""
    match operation.verb:
        case Verb.CREATE | Verb.ENSURE:
            if state is None:
                yield There("", operation.partitions, operation.kept)
        case Verb.ALTER:
            if state is not None and state.kept != operation.kept:
                yield There(state.id, state.partitions, operation.kept)
        case Verb.DELETE:
            if state is not None:
                yield None
        case Verb.LOOK:
            return


def suits(operation: Operation, state: There) -> bool:
    """Whether an ENSURE takes what is there."""
    return operation.partitions == state.partitions and operation.kept in {None, state.kept}


def refuses(operation: Operation, state: State) -> bool:
    """Whether this is what an operation is refused for."""
    match operation.verb:
        case Verb.CREATE:
            return state is not None
        case Verb.ENSURE:
            return state is not None and not suits(operation, state)
        case _:
            return state is None
