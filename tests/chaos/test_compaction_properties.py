"""Histories of a small model of a compacted partition: what is legal passes, one illegal change is found."""

import random
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from chaos.checkers.groups import check_group
from chaos.checkers.log import check_log
from chaos.history import Event, History, Kind

TOMBSTONE_S = 10.0
KEYS = ("a", "b", "c", None)
READERS = ("r0", "r1")


@dataclass(frozen=True, slots=True)
class Record:
    """As it was appended."""

    offset: int
    key: str | None
    value: str
    tombstone: bool
    sent_s: float
    appended_s: float


@dataclass
class Partition:
    """One log, and two replicas each of which has its own holes; readers, and the one member of a group.

    Whoever reads may be switched to the other replica within one read.
    """

    chance: random.Random
    kinds: tuple[Kind, ...] = (Kind.OK, Kind.OK, Kind.OK, Kind.OK, Kind.INFO, Kind.FAIL)
    history: History = field(default_factory=History)
    now_s: float = 0.0
    log: list[Record] = field(default_factory=list)
    gone: tuple[set[int], set[int]] = field(default_factory=lambda: (set(), set()))
    first: int = 0
    positions: dict[str, int] = field(default_factory=lambda: dict.fromkeys((*READERS, "m"), 0))
    sent: int = 0

    def send(self, key: str | None, *, tombstone: bool, kind: Kind = Kind.OK, appended: bool = True) -> None:
        """A send of that outcome; `appended` is for one that is unknown."""
        value = f"v{self.sent}"
        self.sent += 1
        sent_s = self.now_s
        extra = {"tombstone": True} if tombstone else {}
        number = self.history.invoke("p", "send", self.now_s, partition=0, key=key, value=value, **extra)
        self.now_s += self.chance.uniform(0.0, 2.0)
        offset, known = len(self.log), kind is Kind.OK
        if known or (kind is Kind.INFO and appended):
            self.log.append(Record(offset, key, value, tombstone, sent_s, self.now_s))
        self.now_s += self.chance.uniform(0.01, 1.0)
        self.history.end(number, "p", kind, "send", self.now_s, **({"offset": offset} if known else {}))

    def superseded(self, record: Record) -> bool:
        """Something newer has its key."""
        return record.key is not None and any(other.key == record.key for other in self.log[record.offset + 1 :])

    def must_stay(self, record: Record, seen_s: float) -> bool:
        """Whether a reader who has passed it by then must have got it."""
        if record.key is None:
            return True
        newer = any(other.key == record.key and other.sent_s <= seen_s for other in self.log[record.offset + 1 :])
        return not newer and not (record.tombstone and seen_s >= record.sent_s + TOMBSTONE_S)

    def compact(self, replica: int, share: float) -> None:
        """Of what may be removed that share; a tombstone of a key that is deleted is the last to go."""
        gone = self.gone[replica]
        gone |= {r.offset for r in self.log if self.superseded(r) and self.chance.random() < share}
        for record in self.log:
            older = {other.offset for other in self.log[: record.offset] if other.key == record.key}
            old = record.tombstone and record.key is not None and self.now_s >= record.appended_s + TOMBSTONE_S
            if old and not self.superseded(record) and older <= gone and self.chance.random() < share:
                gone.add(record.offset)

    def there(self, start: int, stop: int) -> list[Record]:
        """What a reader finds."""
        replica, switch = self.chance.randrange(2), self.chance.choice((stop, self.chance.randint(start, stop)))
        return [
            record
            for record in self.log[start:stop]
            if record.offset not in self.gone[replica if record.offset < switch else 1 - replica]
        ]

    def read(self, reader: str) -> None:
        """The next piece, or that it was deleted."""
        number = self.history.invoke(reader, "read", self.now_s, partition=0)
        start = self.positions[reader]
        if start < self.first:
            self.positions[reader] = self.first
            self.history.end(number, reader, Kind.OK, "read", self.now_s, partition=0, records=[], first=self.first)
            return
        found = self.there(start, self.chance.randint(start, len(self.log)))
        self.positions[reader] = found[-1].offset + 1 if found else start
        self.history.end(number, reader, Kind.OK, "read", self.now_s, partition=0, records=_plain(found))

    def give(self, stop: int) -> None:
        """The member processes up to there, and may commit."""
        start = max(self.positions["m"], self.first)
        place = {"partition": 0, "generation": 1}
        for record in self.there(start, max(start, stop)):
            self.history.end(0, "m", Kind.OK, "give", self.now_s, **place, offset=record.offset)
            self.positions["m"] = record.offset + 1
        if self.chance.random() < 0.5:
            position = {"position": self.positions["m"]}
            number = self.history.invoke("m", "commit", self.now_s, **place, **position)
            self.history.end(number, "m", Kind.OK, "commit", self.now_s, **place, **position)

    def step(self, name: str) -> None:
        """One of `STEPS`."""
        chance = self.chance
        match name:
            case "send":
                tombstone, appended = chance.random() < 0.3, chance.random() < 0.5
                self.send(chance.choice(KEYS), tombstone=tombstone, kind=chance.choice(self.kinds), appended=appended)
            case "read":
                self.read(chance.choice(READERS))
            case "compact":
                self.compact(chance.randrange(2), chance.choice((0.5, 1.0)))
            case "give":
                self.give(chance.randint(0, len(self.log)))
            case "trim":
                self.first = chance.randint(self.first, len(self.log))
            case "wait":
                self.now_s += chance.uniform(0.0, TOMBSTONE_S)
        self.now_s += 0.01

    def finish(self) -> list[Record]:
        """The member's last work; what the final read, of one replica, has to find."""
        self.give(len(self.log))
        self.history.end(0, "final", Kind.OK, "end", self.now_s, partition=0, first=self.first, end=len(self.log))
        gone = self.gone[self.chance.randrange(2)]
        return [record for record in self.log[self.first :] if record.offset not in gone]

    def judged(self, final: list[Record]) -> list[str]:
        """The names of all anomalies, with that as the final read."""
        number = self.history.invoke("final", "read", self.now_s, partition=0)
        self.history.end(
            number, "final", Kind.OK, "read", self.now_s, partition=0, records=_plain(final), first=self.first
        )
        return _names(self.history.events)


def _plain(records: list[Record]) -> list[list[int | str | None]]:
    return [[record.offset, record.key, record.value] for record in records]


def _names(events: list[Event]) -> list[str]:
    rules = {"compacted": True, "tombstone_s": TOMBSTONE_S}
    return [
        *(anomaly.name for anomaly in check_log(events, retention=True, **rules)),
        *(anomaly.name for anomaly in check_group(events, **rules)),
    ]


pytestmark = pytest.mark.slow
STEPS = ("send", "send", "send", "read", "compact", "give", "wait")
steps = st.lists(st.sampled_from((*STEPS, "trim")), max_size=40)
chances = st.builds(random.Random, st.integers(0, 2**32 - 1))


def _after(names: list[str], chance: random.Random, *kinds: Kind) -> Partition:
    """`kinds`: the outcomes that sends have, if not all."""
    partition = Partition(chance, kinds) if kinds else Partition(chance)
    for name in names:
        partition.step(name)
    return partition


@settings(max_examples=300, deadline=None)
@given(names=steps, chance=chances)
def test_whatever_is_legal_passes(names: list[str], chance: random.Random) -> None:
    """Sends of all outcomes, replicas compacted at any time, slow readers, deletions, a member of a group."""
    partition = _after(names, chance)
    assert [] == partition.judged(partition.finish())


def _map(records: list[Record]) -> dict[str, str]:
    """What somebody holds who has read them from the first on."""
    held: dict[str, str] = {}
    for record in records:
        if record.key is not None:
            held[record.key] = record.value
            if record.tombstone:
                del held[record.key]
    return held


@settings(max_examples=300, deadline=None)
@given(names=st.lists(st.sampled_from(("send", "send", "wait", "trim")), max_size=25), chance=chances)
def test_the_final_read_is_judged_by_the_map_that_it_gives(names: list[str], chance: random.Random) -> None:
    """Whatever it lacks: the same map, all without a key and all young tombstones are what it takes."""
    partition = _after(names, chance, Kind.OK)
    log = partition.log[partition.first :]
    partition.give(len(partition.log))
    share = chance.choice((0.1, 0.5, 1.0))
    final = [record for record in log if chance.random() >= share]
    lacks_needed = any(
        record not in final
        and (record.key is None or record.tombstone)
        and partition.must_stay(record, partition.now_s)
        for record in log
    )

    assert (lacks_needed or _map(final) != _map(log)) == bool(partition.judged(final))


def _without(event: Event, record: Record) -> Event:
    """A read that lacks one of its records."""
    kept = [plain for plain in event.value["records"] if plain[0] != record.offset]
    return replace(event, value=event.value | {"records": kept})


@settings(max_examples=300, deadline=None)
@given(names=steps, chance=chances)
def test_a_record_that_a_reader_had_to_be_given_is_missed(names: list[str], chance: random.Random) -> None:
    """Taken from the middle of a read, it was the newest of its key then, or had none, or was a young tombstone."""
    partition = _after([*names, "send", "send", "send", "read", "read"], chance, Kind.OK)
    assert [] == partition.judged(partition.finish())
    events = partition.history.events
    candidates = [
        (place, partition.log[offset])
        for place, event in enumerate(events)
        if event.name == "read" and event.kind is Kind.OK and event.process in READERS
        for offset, *_ in event.value["records"][:-1]
        if partition.must_stay(partition.log[offset], event.time_s)
    ]
    assume(candidates)
    place, record = chance.choice(candidates)
    events[place] = _without(events[place], record)
    name = "tombstone gone early" if record.tombstone and record.key is not None else "poll skip"

    assert [name] == _names(events)


@settings(max_examples=300, deadline=None)
@given(names=steps, chance=chances)
def test_a_record_that_a_member_had_to_be_given_is_missed(names: list[str], chance: random.Random) -> None:
    """What stands in the final read, and that nobody may skip until then."""
    partition = _after(names, chance, Kind.OK)
    partition.send("z", tombstone=chance.random() < 0.5)
    final = partition.finish()
    assert [] == partition.judged(final)
    taken = chance.choice([record for record in final if partition.must_stay(record, partition.now_s)])
    kept = [e for e in partition.history.events if e.name != "give" or e.value["offset"] != taken.offset]

    assert ["skipped"] == _names(kept)


@settings(max_examples=300, deadline=None)
@given(names=steps, chance=chances, lost=st.sampled_from(("newest", "tombstone", "no key")))
def test_a_record_that_must_be_there_at_the_end_is_missed(names: list[str], chance: random.Random, lost: str) -> None:
    """Whatever else happened to other keys, with outcomes known and unknown."""
    partition = _after(names, chance)
    partition.send(None if lost == "no key" else "z", tombstone=lost == "tombstone")
    *others, last = partition.finish()
    assert partition.log[-1] == last

    assert ["tombstone gone early" if lost == "tombstone" else "unseen"] == partition.judged(others)


@settings(max_examples=300, deadline=None)
@given(names=steps, chance=chances)
def test_a_deleted_key_that_comes_back_is_found(names: list[str], chance: random.Random) -> None:
    """Its tombstone has had its time and is gone; an older record of it is there again."""
    partition = _after(names, chance)
    for tombstone in (False, False, True):
        partition.send("z", tombstone=tombstone)
    *older, deleting = partition.log[-3:]
    partition.now_s += TOMBSTONE_S
    for replica in range(2):
        partition.compact(replica, 1.0)
    final = partition.finish()
    assert not {record.key for record in final} & {"z"}
    assert deleting not in final

    assert ["came back"] == partition.judged(sorted([*final, chance.choice(older)], key=lambda record: record.offset))
