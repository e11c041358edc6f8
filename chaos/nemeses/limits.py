"""The faults of a process and of what surrounds it: it is killed or held, its clocks are wrong, or it lacks something.

Injectors: `chaos.arenas.processes` kills, clocks, limits; of clients `chaos.arenas.seats`.
"""

import random
from typing import Any

from chaos.nemeses.catalogue import SINGLE, FaultKind, register

ANY = (*SINGLE, "minority", "majority", "all")
FEW = (*SINGLE, "minority")
CLOCK_BACK_S = 60.0
CLOCK_AHEAD_S = 600.0
"""Further than back: what goes too early by a clock that is ahead is told from what one that was behind had stamped."""


def _jump(chance: random.Random) -> dict[str, Any]:
    return {"by_s": chance.choice((-CLOCK_BACK_S, CLOCK_AHEAD_S))}


def _wall(_: random.Random) -> dict[str, Any]:
    return {"rate": 2.0, "monotonic": False}


def _both(_: random.Random) -> dict[str, Any]:
    return {"rate": 2.0, "monotonic": True}


def _swizzle(chance: random.Random) -> dict[str, Any]:
    return {"pause_s": round(chance.uniform(0.2, 1.5), 2), "seed": chance.randrange(1 << 30)}


def _seat(chance: random.Random) -> dict[str, Any]:
    return {"seat": round(chance.random(), 6)}


def _headroom(chance: random.Random) -> dict[str, Any]:
    return {"headroom_kib": chance.choice((0, 256, 1024, 4096))}


def _spare(chance: random.Random) -> dict[str, Any]:
    return {"spare": chance.choice((0, 1, 3, 8))}


def _share(chance: random.Random) -> dict[str, Any]:
    return {"share": chance.choice((0.1, 0.2, 0.4))}


def _speed(chance: random.Random) -> dict[str, Any]:
    return {"bytes_per_s": chance.choice((64 << 10, 256 << 10, 1 << 20))}


register(
    FaultKind(
        name="kill",
        family="process",
        about="SIGKILL; started again after up to ten seconds",
        roles=ANY,
        lasts_s=(0.0, 10.0),
    ),
    FaultKind(
        name="terminate",
        family="process",
        about="SIGTERM; over ten seconds until it has stopped is an anomaly",
        roles=ANY,
        lasts_s=(0.0, 5.0),
    ),
    FaultKind(
        name="pause",
        family="process",
        about="SIGSTOP for up to 15 seconds: it stands still and does not know it",
        roles=ANY,
        lasts_s=(0.2, 15.0),
    ),
    FaultKind(
        name="rolling_restart",
        family="process",
        about="each node is stopped and started in its turn, when the cluster answers again",
        roles=("all",),
    ),
    FaultKind(
        name="swizzle",
        family="process",
        about="nodes are killed one by one, and restored in another order",
        roles=("majority", "all"),
        lasts_s=(0.5, 5.0),
        draw=_swizzle,
        minority=False,
    ),
    FaultKind(
        name="client_vanish",
        family="process",
        about="a client is gone in the middle of its work, as if its process had been killed; another takes its place",
        roles=("client",),
        draw=_seat,
    ),
    FaultKind(
        name="clock_jump",
        family="clock",
        about="the wall clock jumps, ten minutes ahead or one back, until it is corrected",
        roles=ANY,
        lasts_s=(1.0, 15.0),
        draw=_jump,
    ),
    FaultKind(
        name="clock_rate",
        family="clock",
        about="the wall clock runs at double speed, and jumps back when it is corrected",
        roles=ANY,
        lasts_s=(2.0, 20.0),
        draw=_wall,
    ),
    FaultKind(
        name="clocks_rate",
        family="clock",
        about="all clocks run at double speed: every time-out, too, comes in half of its time",
        roles=ANY,
        lasts_s=(2.0, 20.0),
        draw=_both,
    ),
    FaultKind(
        name="memory",
        family="resource",
        about="whatever a node allocates now is too much for its control group, and the kernel kills it",
        roles=FEW,
        lasts_s=(1.0, 8.0),
        draw=_headroom,
    ),
    FaultKind(
        name="address_space",
        family="resource",
        about="no more memory is mapped: allocations fail, in Python and in gRPC",
        roles=FEW,
        lasts_s=(1.0, 8.0),
        draw=_headroom,
    ),
    FaultKind(
        name="descriptors",
        family="resource",
        about="no more files and connections than there are: accept and open fail with EMFILE",
        roles=FEW,
        lasts_s=(1.0, 10.0),
        draw=_spare,
    ),
    FaultKind(
        name="threads",
        family="resource",
        about="no more threads and processes than there are",
        roles=FEW,
        lasts_s=(1.0, 10.0),
        draw=_spare,
    ),
    FaultKind(
        name="cpu",
        family="resource",
        about="a tenth to two fifths of one processor",
        roles=FEW,
        lasts_s=(2.0, 12.0),
        draw=_share,
    ),
    FaultKind(
        name="freeze",
        family="resource",
        about="the control group is frozen: like a pause, and no signal tells of it",
        roles=ANY,
        lasts_s=(0.2, 15.0),
    ),
    FaultKind(
        name="slow_disk",
        family="resource",
        about="64 KiB to 1 MiB are written in a second",
        roles=FEW,
        lasts_s=(2.0, 12.0),
        draw=_speed,
    ),
)
