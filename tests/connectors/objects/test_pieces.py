"""The proof of `pieces`, tried: writers of one lane, interleaved, stopped, and going on as if nothing had happened.

Each rule of the proof is broken once, to see that schedules find it.
"""

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.connectors.contract import Delivery, Position
from cluster.connectors.objects import sink as sinks
from cluster.connectors.objects.options import FilesSink
from cluster.connectors.objects.pieces import Claim, claim_name, decode_claim, marked_end, outdated
from cluster.connectors.objects.sink import Pieces
from cluster.connectors.objects.store import Entry
from cluster.errors import InvalidRoute, Unreachable
from tests.connectors.objects.memory import Memory, drive

LANE = "r-1/sales/0"
OFFSETS = 40
DAY_NS = 24 * 3600 * 10**9
SCHEDULES = 400


def deliveries(begin: int, end: int) -> list[Delivery]:
    """Of an offset none, one or two come; on three days."""
    return [
        Delivery(value=[n, m], key=None, timestamp_ns=n % 3 * DAY_NS, headers=(), offset=n, id=f"{n}-{m}")
        for n in range(begin, end)
        for m in range(n % 3)
    ]


class Lane:
    """What the cluster knows of it: who leads, and the position that was committed last."""

    def __init__(self, chance: random.Random, sink: type[Pieces]) -> None:
        self.chance, self.sink, self.store = chance, sink, Memory()
        self.leader, self.committed = 0, 0
        self.options = FilesSink(url="file:///unused", folder="{date}/", roll_records=chance.randint(1, 12))

    async def lead(self) -> None:
        """Write what is left, as a host does; one that does not lead any more goes on, and commits nothing."""
        self.leader += 1
        number, at = self.leader, self.committed
        sink = self.sink(self.options, self.store)
        try:
            at = max(await sink.last_position(LANE) or 0, at)
            held_from = at
            while at < OFFSETS:
                end = min(OFFSETS, at + self.chance.randint(0, 6))
                safe = await sink.write(deliveries(at, end), Position(lane=LANE, begin=at, end=end))
                at = end
                if not safe and (self.chance.random() < 0.2 or end == OFFSETS):
                    await sink.settle()
                    safe = True
                if safe and number == self.leader and self.chance.random() < 0.7:
                    assert self.committed <= at, held_from
                    self.committed = at
        except Unreachable:
            return

    def contents(self) -> list[Any]:
        """Of all files, by lines."""
        lines = [
            line for name, file in self.store.files.items() if "/part-" in name for line in file.decode().splitlines()
        ]
        return sorted(json.loads(line) for line in lines)


def run(chance: random.Random, sink: type[Pieces] = Pieces) -> list[Any]:
    """Writers come and go; in the end one is left alone."""
    lane = Lane(chance, sink)
    for _ in range(chance.randint(1, 3)):
        drive([lane.lead() for _ in range(chance.randint(1, 3))], chance, stopped=chance.choice([0, 0.02, 0.2]))
    for _ in range(20):
        drive([lane.lead()], chance, stopped=0)
    return lane.contents()


WANTED = sorted(delivery.value for delivery in deliveries(0, OFFSETS))


@settings(max_examples=SCHEDULES, deadline=None)
@given(st.integers(0, 2**32))
def test_each_record_is_in_one_file_once_whatever_the_schedule(seed: int) -> None:
    """Three writers at once, stopped anywhere, and others after them."""
    assert WANTED == run(random.Random(seed))


class NoClaim(Pieces):
    """Takes its own idea of the piece, whoever has claimed it."""

    async def _claim(self, wanted: Claim) -> Claim:
        await super()._claim(wanted)
        return wanted


class FromWhereIt(Pieces):
    """Names pieces by what it was given first, not by where the chain is."""

    async def write(self, batch: Sequence[Delivery], position: Position) -> bool:
        if position.lane not in self._lanes:
            await self.last_position(position.lane)
        lane = self._lanes[position.lane]
        if not lane.rows and not batch and lane.claim is None:
            lane.place = lane.end = position.end
        return await super().write(batch, position)


class MarkFirst(Pieces):
    """Says that a piece is done before it is."""

    async def _cut(self, lane: Any) -> bool:
        wanted = Claim(lane.name, lane.place, lane.end, ())
        if lane.claim is None and await self._store.look(claim_name(lane.name, lane.place)) is None:
            await self._store.create(sinks.mark_name(wanted), b"x")
        return await super()._cut(lane)


class SettlesAnyhow(Pieces):
    """Says that all is there while a piece waits for more."""

    async def settle(self) -> None:
        for lane in self._lanes.values():
            while lane.end > lane.place and await self._cut(lane):
                pass


@pytest.mark.slow
@pytest.mark.parametrize("bug", [NoClaim, FromWhereIt, MarkFirst, SettlesAnyhow])
def test_a_broken_rule_is_found(bug: type[Pieces]) -> None:
    """By some of as many schedules."""
    assert any(is_found(bug, seed) for seed in range(3 * SCHEDULES))


def is_found(bug: type[Pieces], seed: int) -> bool:
    """By the contents, or by an assertion on the way."""
    try:
        return run(random.Random(seed), bug) != WANTED
    except (AssertionError, InvalidRoute):
        return True


def test_the_newest_mark_is_where_to_go_on() -> None:
    """And what is a day older than it goes, but for its own claim."""
    old, new = Claim("l", 0, 5, ()), Claim("l", 5, 9, ())
    names = [claim_name("l", 0), sinks.mark_name(old), claim_name("l", 5), sinks.mark_name(new), claim_name("l", 9)]
    entries = [Entry(name, 0, "", age) for name, age in zip(names, [0, 10, 20, 200_000, 200_001], strict=True)]

    assert 9 == marked_end(entries)
    assert None is marked_end([entries[0]])
    assert names[:2] == outdated(entries)
    assert [] == outdated(entries[:2])


def test_a_claim_that_is_not_ours_stops_the_route() -> None:
    """Somebody has written into the folder that is to be left alone."""
    for written in (
        b"{}",
        b'{"lane":"other","begin":0,"end":3,"files":[]}',
        b'{"lane":"l","begin":0,"end":0,"files":[]}',
    ):
        with pytest.raises(InvalidRoute, match=r"^_riverrun/x is"):
            decode_claim(written, "_riverrun/x", "l", 0)
