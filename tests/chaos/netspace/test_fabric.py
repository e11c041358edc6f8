"""What happens to packets on their way, without any: the time is handed in."""

import struct
from collections.abc import Sequence
from itertools import pairwise

from chaos.arenas.processes.netspace.fabric import BACKLOG_S_MAX, PACKETS_MAX, Effects, Fabric

COUNT = 2000


def _packet(number: int, target: int = 2, size: int = 100) -> bytes:
    return (
        b"\x45"
        + bytes(11)
        + struct.pack("!I", 0)
        + bytes((10, 0, 0, target))
        + struct.pack("!I", number)
        + bytes(size - 24)
    )


def _through(effects: Effects, *, seed: int = 1, gap_s: float = 0.001, size: int = 100) -> list[tuple[float, int]]:
    """When which of many packets from 1 to 2 arrive, if one is sent every `gap_s`."""
    fabric = Fabric(seed)
    fabric.effects = {(1, 2): effects}
    for number in range(COUNT):
        fabric.take(1, _packet(number, size=size), number * gap_s)
    came = []
    while (now_s := fabric.next_s()) is not None:
        came += [(now_s, struct.unpack_from("!I", packet, 20)[0]) for _, packet in fabric.due(now_s)]
    return came


def _numbers(came: Sequence[tuple[float, int]]) -> list[int]:
    return [number for _, number in came]


def test_the_same_seed_has_the_same_fate() -> None:
    """And another seed another one."""
    effects = Effects(loss=0.2, duplicate=0.2, reorder=0.2, delay_s=0.05, jitter_s=0.05)

    assert _through(effects) == _through(effects)
    assert _through(effects) != _through(effects, seed=2)


def test_without_effects_everything_comes_at_once_and_in_order() -> None:
    """Of a pair that has none, and of one whose effects are none."""
    assert list(range(COUNT)) == _numbers(_through(Effects()))
    assert all(abs(at_s - number * 0.001) < 1e-9 for at_s, number in _through(Effects()))


def test_a_delay_keeps_the_order_however_it_varies() -> None:
    """Reordering is a fault of its own, so that it can be left out."""
    came = _through(Effects(delay_s=0.1, jitter_s=0.1))

    assert list(range(COUNT)) == _numbers(came)
    assert all(0 <= at_s - number * 0.001 <= 0.2 + 1e-9 for at_s, number in came)


def test_what_is_reordered_is_passed_by_what_follows() -> None:
    """About as much as was asked for; nothing is lost or doubled."""
    numbers = _numbers(_through(Effects(reorder=0.1)))

    assert list(range(COUNT)) == sorted(numbers)
    assert 100 < sum(after < before for before, after in pairwise(numbers)) < 400


def test_shares_are_what_was_asked_for() -> None:
    """Within what chance does."""
    assert 0.66 * COUNT < len(_through(Effects(loss=0.3))) < 0.74 * COUNT
    assert 1.26 * COUNT < len(_through(Effects(duplicate=0.3))) < 1.34 * COUNT
    assert [] == _through(Effects(loss=1.0))


def test_bandwidth_makes_packets_wait_and_loses_what_would_wait_too_long() -> None:
    """100 bytes every millisecond through 50,000 bytes a second: half of it, at most so late."""
    came = _through(Effects(bytes_per_s=50_000))

    assert all(after - before > 0.0019 for (before, _), (after, _) in pairwise(came))
    assert 0.45 * COUNT < len(came) < 0.80 * COUNT
    assert max(at_s - number * 0.001 for at_s, number in came) <= BACKLOG_S_MAX + 1e-9


def test_what_is_on_its_way_is_bounded() -> None:
    """A delay without end does not fill the memory."""
    fabric = Fabric(1)
    fabric.effects = {(1, 2): Effects(delay_s=1e9)}
    for number in range(PACKETS_MAX + 10):
        fabric.take(1, _packet(number), 0.0)

    assert 10 == fabric.counts["overflowed"]


def test_several_effects_add_up() -> None:
    """Chances one after the other, delays in a row, the narrowest bandwidth."""
    both = Effects(loss=0.5, delay_s=0.1, bytes_per_s=1000) + Effects(loss=0.5, delay_s=0.2, jitter_s=0.1)

    assert 0.75 == both.loss
    assert 0.3 == round(both.delay_s, 9)
    assert 0.1 == both.jitter_s
    assert 1000 == both.bytes_per_s
    assert 500 == (both + Effects(bytes_per_s=500)).bytes_per_s
    assert both == Effects() + both
    assert both == Effects(**both.to_plain())
