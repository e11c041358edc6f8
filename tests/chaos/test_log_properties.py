"""Histories of a small model of a correct log never raise an alarm; the model with one rule broken does, by name."""

import random
from collections import defaultdict
from dataclasses import dataclass, field, replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.checkers.log import check_log
from chaos.checkers.replicas import Copy, Held, check_replicas
from chaos.history import Event, History, Kind

PARTITIONS, REPLICAS = 2, 3
PRODUCERS, READERS = ("p0", "p1", "p2"), ("r0", "r1")
KEYS = ("a", "b", None)
pytestmark = pytest.mark.slow


@dataclass
class Sent:
    """A send and what became of it. `offset` None: it is not in the log."""

    operation: int
    process: str
    partition: int
    key: str | None
    value: str
    conditional: bool
    offset: int | None = None


@dataclass
class Log:
    """Partitions of one topic, producers with several sends under way, readers, somebody who deletes.

    `breaks` names a rule that is broken at the first occasion; `broken` says that there was one.
    """

    chance: random.Random
    breaks: str = ""
    broken: bool = False
    history: History = field(default_factory=History)
    now_s: float = 0.0
    waiting: dict[tuple[str, int], list[Sent]] = field(default_factory=lambda: defaultdict(list))
    decided: list[Sent] = field(default_factory=list)
    records: dict[int, list[tuple[int, str | None, str]]] = field(default_factory=lambda: defaultdict(list))
    ends: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    first: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    positions: dict[tuple[str, int], int] = field(default_factory=lambda: defaultdict(int))

    def breaking(self, rule: str) -> bool:
        """Whether it is this one, now."""
        if self.breaks != rule or self.broken:
            return False
        self.broken = True
        return True

    def begin(self) -> None:
        """A producer sends; now and then on condition of the end, and then it is decided at once."""
        process, partition = self.chance.choice(PRODUCERS), self.chance.randrange(PARTITIONS)
        key, value = self.chance.choice(KEYS), f"v{len(self.history.events)}"
        queue = self.waiting[process, partition]
        conditional = not queue and (self.chance.random() < 0.2 or self.breaks == "broken condition")
        said = {"expected_end": self.ends[partition]} if conditional else {}
        number = self.history.invoke(process, "send", self.now_s, partition=partition, key=key, value=value, **said)
        queue.append(Sent(number, process, partition, key, value, conditional=conditional))
        if conditional:
            if self.breaking("broken condition"):
                self.history.invoke("other", "send", self.now_s, partition=partition, key=None, value="other")
                self._append(Sent(0, "other", partition, None, "other", conditional=False))
            self.decide(queue)

    def decide(self, queue: list[Sent] | None = None) -> None:
        """The oldest send of a producer to a partition is appended, or never will be."""
        queues = [waiting for waiting in self.waiting.values() if waiting]
        if queue is None and not queues:
            return
        queue = self.chance.choice(queues) if queue is None else queue
        place = 1 if len(queue) > 1 and self.breaking("nonmonotonic send") else 0
        sent = queue.pop(place)
        if place or sent.conditional or self.chance.random() < 0.9:
            self._append(sent)
            if place:  # the one that it overtook follows
                self._append(queue[0])
                self.decided.append(queue.pop(0))
        self.decided.append(sent)

    def _append(self, sent: Sent) -> None:
        partition = (sent.partition + self.breaking("wrong partition")) % PARTITIONS
        self.ends[partition] += self.ends[partition] > 0 and self.breaking("offset gap")
        key = "changed" if self.breaking("changed record") else sent.key
        for _ in range(1 + self.breaking("duplicate")):
            sent.offset = self.ends[partition]
            self.records[partition].append((sent.offset, key, sent.value))
            self.ends[partition] += 1
        if self.breaking("phantom read"):
            self.records[partition].append((self.ends[partition], None, "never sent"))
            self.ends[partition] += 1

    def end(self) -> None:
        """A producer hears of one, or not."""
        if not self.decided:
            return
        sent = self.decided.pop(self.chance.randrange(len(self.decided)))
        known = self.chance.random() < 0.8
        kind, said = Kind.INFO, {}
        if sent.offset is not None and self.breaking("aborted read"):
            kind = Kind.FAIL
        elif sent.offset is not None and known:
            synced = 1 if self.breaking("receipt below majority") else self.chance.choice((2, 3))
            kind, said = Kind.OK, {"offset": sent.offset, "synced": synced}
        elif known and sent.offset is None:
            kind = Kind.FAIL
        if kind is not Kind.INFO or self.chance.random() < 0.5:
            self.history.end(sent.operation, sent.process, kind, "send", self.now_s, **said)

    def read(self) -> None:
        """A reader goes on from where it was, or is told where the partition begins."""
        reader, partition = self.chance.choice(READERS), self.chance.randrange(PARTITIONS)
        seat = reader, partition
        number = self.history.invoke(reader, "read", self.now_s, partition=partition)
        told: dict[str, int] = {}
        if self.positions[seat] < self.first[partition]:
            self.positions[seat] = told["first"] = self.first[partition]
        position = self.positions[seat]
        if position < self.ends[partition] - 1 and self.breaking("poll skip"):
            position += 1
        elif position > self.first[partition] and self.breaking("nonmonotonic poll"):
            position -= 1
        stop = self.chance.randint(position, self.ends[partition])
        stop = self.ends[partition] if self.breaks in {"poll skip", "nonmonotonic poll"} else stop
        found = [list(record) for record in self.records[partition] if position <= record[0] < stop]
        if found and self.breaking("inconsistent offsets"):
            found[-1][2] = f"{found[-1][2]}, of another leader"
        self.positions[seat] = int(str(found[-1][0])) + 1 if found else self.positions[seat]
        self.history.end(number, reader, Kind.OK, "read", self.now_s, partition=partition, records=found, **told)

    def delete(self) -> None:
        """Everything up to somewhere."""
        partition = self.chance.randrange(PARTITIONS)
        before = self.chance.randint(self.first[partition], self.ends[partition])
        number = self.history.invoke("d", "delete", self.now_s, partition=partition, before=before)
        self.first[partition] = before
        if before < self.ends[partition] and self.breaking("deleted too much"):
            self.first[partition] += 1
        elif before and self.breaking("not deleted"):
            self.first[partition] = 0
        self.history.end(number, "d", Kind.OK, "delete", self.now_s, partition=partition, before=before)

    def step(self, name: str) -> None:
        """One of `STEPS`; a little later than the one before."""
        self.now_s += 0.01
        getattr(self, name)()

    def finish(self) -> list[Event]:
        """What is under way is decided; the final read of each partition."""
        while any(self.waiting.values()):
            self.step("decide")
        for _ in list(self.decided):
            self.step("end")
        for partition in range(PARTITIONS):
            number = self.history.invoke("final", "read", self.now_s, partition=partition)
            self.history.end(
                number,
                "final",
                Kind.OK,
                "read",
                self.now_s + 1,
                partition=partition,
                records=[list(record) for record in self.there(partition)],
                first=self.first[partition],
            )
        return self.history.events

    def there(self, partition: int) -> list[tuple[int, str | None, str]]:
        """What is not deleted."""
        return [record for record in self.records[partition] if record[0] >= self.first[partition]]

    def copies(self) -> list[Copy]:
        """Of all replicas, each of which may not have trimmed yet."""
        return [
            Copy(node=node, partition=partition, first=first, records=[Held(*r) for r in records if r[0] >= first])
            for partition, records in sorted(self.records.items())
            for node in range(1, REPLICAS + 1)
            for first in [self.chance.randint(0, self.first[partition])]
        ]


def _names(events: list[Event]) -> set[str]:
    return {anomaly.name for anomaly in check_log(events, replicas=REPLICAS)}


STEPS = ("begin", "begin", "decide", "decide", "end", "end", "read")
OCCASIONS = (
    *("begin",) * 12,
    *("decide",) * 8,
    *("end",) * 8,
    *("read",) * 8,
)
steps = st.lists(st.sampled_from((*STEPS, "delete")), max_size=60)
chances = st.builds(random.Random, st.integers(0, 2**32 - 1))
RULES = (
    "inconsistent offsets",
    "duplicate",
    "aborted read",
    "phantom read",
    "changed record",
    "wrong partition",
    "broken condition",
    "nonmonotonic poll",
    "poll skip",
    "offset gap",
    "nonmonotonic send",
    "receipt below majority",
    "deleted too much",
    "not deleted",
)


def _after(names: list[str], chance: random.Random, breaks: str = "") -> Log:
    log = Log(chance, breaks)
    for name in names:
        log.step(name)
    return log


@settings(max_examples=200, deadline=None)
@given(names=steps, chance=chances)
def test_whatever_a_correct_log_does_passes(names: list[str], chance: random.Random) -> None:
    """All outcomes, sends under way at once, readers at any speed, deletions; and its replicas are equal."""
    log = _after(names, chance)
    events = log.finish()
    assert set() == _names(events)
    assert [] == check_replicas(log.copies(), events, replicas=REPLICAS)


@pytest.mark.parametrize("rule", RULES)
@settings(max_examples=40, deadline=None)
@given(names=st.lists(st.sampled_from(STEPS), max_size=40), chance=chances)
def test_a_log_that_breaks_one_rule_is_found_out(rule: str, names: list[str], chance: random.Random) -> None:
    """Once, somewhere: whatever else it does right. What is wrong with a record is not deleted before it is read."""
    kinds = (*STEPS, "delete") if "delete" in rule else STEPS
    log = _after([*names, *OCCASIONS], chance, rule)
    for _ in range(300):
        if not log.broken:
            log.step(chance.choice(kinds))
    assert log.broken
    for _ in range(PARTITIONS):  # what was done wrong last is read, too
        log.step("read")
    assert rule in _names(log.finish())


@pytest.mark.parametrize("where", ["tail", "middle"])
@settings(max_examples=60, deadline=None)
@given(names=steps, chance=chances)
def test_an_acknowledged_record_that_is_gone_is_found_out(where: str, names: list[str], chance: random.Random) -> None:
    """At the end with all that follows it, before anybody has read that; or alone, with others behind it."""
    log = _after([*names, *OCCASIONS], chance)
    while any(log.waiting.values()):
        log.step("decide")
    for _ in list(log.decided):
        log.step("end")
    partition = max(range(PARTITIONS), key=lambda number: len(log.there(number)))
    for value in ("x", "y"):
        number = log.history.invoke("p0", "send", log.now_s + 1, partition=partition, key=None, value=value)
        log.records[partition].append((log.ends[partition], None, value))
        said = {"offset": log.ends[partition], "synced": 2}
        log.history.end(number, "p0", Kind.OK, "send", log.now_s + 2, **said)
        log.ends[partition] += 1
        log.now_s += 3
    gone = log.records[partition][-2:] if where == "tail" else log.records[partition][-2:-1]
    copies = log.copies()
    log.records[partition] = [record for record in log.records[partition] if record not in gone]
    events = log.finish()

    assert ({"unseen", "receipt lied"} if where == "tail" else {"lost write", "poll skip", "receipt lied"}) == _names(
        events
    )
    assert [] == check_replicas(copies, events, replicas=REPLICAS)
    lacking = [replace(copies[0], records=[held for held in copies[0].records if held.value not in {"x", "y"}])]
    found = {a.name for a in check_replicas([*lacking, *copies[1:]], events, replicas=REPLICAS)}
    assert (set() if copies[0].partition != partition else {"receipt lied"}) <= found


@settings(max_examples=100, deadline=None)
@given(names=steps, chance=chances)
def test_a_later_send_that_stands_before_an_earlier_one_is_found_out(names: list[str], chance: random.Random) -> None:
    """Two producers', one of which had its acknowledgement before the other began; everybody sees it so."""
    log = _after(names, chance)
    for process in ("one", "two"):
        number = log.history.invoke(process, "send", log.now_s + 1, partition=0, key="k", value=process)
        offset = log.ends[0] + (process == "one")
        log.history.end(number, process, Kind.OK, "send", log.now_s + 2, offset=offset, synced=2)
        log.now_s += 3
    log.records[0] += [(log.ends[0], "k", "two"), (log.ends[0] + 1, "k", "one")]
    log.ends[0] += 2
    assert {"real-time inversion"} == _names(log.finish())
