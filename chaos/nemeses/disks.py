"""Faults of disks: power, failing calls, no room, damage at rest and in use. Theirs: `chaos.arenas.processes.disks`.

Lying syncs and damage hit one node of a run only, which is drawn once for each schedule and stands in the options of
each of them (`node`): whom a role would have named is not asked. Two nodes with such disks are a majority of three, and
no system survives that.
"""

import errno
import random
from typing import Any
from weakref import WeakKeyDictionary

from chaos.nemeses.catalogue import SINGLE, FaultKind, register

NODES_SURE = 3
"""The smallest cluster of a run: the node with the bad disk is one of these."""
GROUPS = (*SINGLE, "minority")
_bad_disks: "WeakKeyDictionary[random.Random, int]" = WeakKeyDictionary()
"""Of each schedule, known by its chance, while it is drawn."""


def bad_disk(chance: random.Random) -> int:
    """The node whose disk lies and forgets: the same for all faults of a schedule."""
    if chance not in _bad_disks:
        _bad_disks[chance] = chance.randint(1, NODES_SURE)
    return _bad_disks[chance]


def _sync_fails(chance: random.Random) -> dict[str, Any]:
    return {"sync_errno": errno.EIO, "sync_every": chance.choice((1, 1, 3, 10))}


def _write_fails(chance: random.Random) -> dict[str, Any]:
    return {"write_errno": errno.EIO, "write_every": chance.choice((1, 5, 20))}


def _no_room(chance: random.Random) -> dict[str, Any]:
    return {"write_errno": errno.ENOSPC, "write_every": chance.choice((1, 2, 10))}


def _slow_sync(chance: random.Random) -> dict[str, Any]:
    return {"sync_delay_ms": int(1000 * chance.choice((0.05, 0.5, chance.uniform(1, 5))))}


def _short_writes(chance: random.Random) -> dict[str, Any]:
    return {"short_every": chance.choice((1, 2, 7))}


def _full(chance: random.Random) -> dict[str, Any]:
    return {"left_kib": chance.choice((0, 0, 64, 256))}


def _lie(chance: random.Random) -> dict[str, Any]:
    return {"node": bad_disk(chance)}


def _damage(what: str, hows: tuple[str, ...]) -> Any:
    def draw(chance: random.Random) -> dict[str, Any]:
        return {
            "node": bad_disk(chance),
            "what": what,
            "how": chance.choice(hows),
            "file": round(chance.random(), 6),
            "place": round(chance.random(), 6),
            "size": round(chance.random(), 6),
            "age_s": round(chance.uniform(0.5, 2.0), 3),
        }

    return draw


IN_PLACE = ("flip", "cut", "swap")
ALL_WAYS = (*IN_PLACE, "stale-chunk", "stale-file")

register(
    FaultKind(
        name="power_loss",
        family="disk",
        about="power loss: what was not synced is gone",
        roles=GROUPS,
        lasts_s=(0.5, 6.0),
    ),
    FaultKind(
        name="power_loss_all",
        family="disk",
        about="power loss of all nodes at the same moment",
        roles=("all",),
        lasts_s=(0.2, 2.0),
        minority=False,
    ),
    FaultKind(
        name="full_disk",
        family="disk",
        about="another file takes all the room on the disk",
        roles=GROUPS,
        lasts_s=(3.0, 12.0),
        draw=_full,
    ),
    FaultKind(
        name="sync_fails",
        family="disk",
        about="fsync, fdatasync and syncfs answer EIO: the node must end",
        roles=GROUPS,
        lasts_s=(1.0, 5.0),
        draw=_sync_fails,
    ),
    FaultKind(
        name="write_fails",
        family="disk",
        about="writes answer EIO",
        roles=GROUPS,
        lasts_s=(1.0, 5.0),
        draw=_write_fails,
    ),
    FaultKind(
        name="no_room",
        family="disk",
        about="writes answer ENOSPC, also where room was reserved",
        roles=GROUPS,
        lasts_s=(1.0, 8.0),
        draw=_no_room,
    ),
    FaultKind(
        name="slow_sync",
        family="disk",
        about="each sync takes up to seconds",
        lasts_s=(3.0, 12.0),
        draw=_slow_sync,
    ),
    FaultKind(
        name="short_writes",
        family="disk",
        about="writes take half of what they were given",
        roles=(*GROUPS, "all"),
        lasts_s=(3.0, 12.0),
        draw=_short_writes,
    ),
    FaultKind(
        name="lying_sync",
        family="disk",
        about="one node's syncs do nothing, then its power fails",
        roles=("one",),
        lasts_s=(1.0, 6.0),
        draw=_lie,
    ),
    FaultKind(
        name="damaged_log",
        family="damage",
        about="a segment of a log at rest: bits, cut, swapped or stale chunks",
        roles=("one",),
        lasts_s=(0.2, 2.0),
        draw=_damage("log", ALL_WAYS),
    ),
    FaultKind(
        name="damaged_in_use",
        family="damage",
        about="a bit of a running node's log flips: who meets it must not serve it, and the node ends and heals",
        roles=("one",),
        lasts_s=(2.0, 8.0),
        draw=_damage("log", ("flip",)),
    ),
    FaultKind(
        name="damaged_vote",
        family="damage",
        about="the vote of a replica at rest",
        roles=("one",),
        lasts_s=(0.2, 2.0),
        draw=_damage("vote", IN_PLACE),
    ),
    FaultKind(
        name="damaged_journal",
        family="damage",
        about="the controller's journal at rest: the node refuses to start, the good copy is put back",
        roles=("one",),
        lasts_s=(0.2, 2.0),
        draw=_damage("journal", IN_PLACE),
    ),
    FaultKind(
        name="damaged_state",
        family="damage",
        about="the state of a task at rest",
        roles=("one",),
        lasts_s=(0.2, 2.0),
        draw=_damage("state", ALL_WAYS),
    ),
)
