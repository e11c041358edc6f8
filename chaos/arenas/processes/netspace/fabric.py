"""What happens to packets between two places: a queue of those that are on their way, by the effects of each pair.

Rules:
1. Effects are of a directed pair, so that one direction can be cut, or slow, and the other not.
2. A delay keeps the order of its pair, however it varies; to change the order is an effect of its own (`reorder`).
3. All chance is of one seed. When packets come is up to the kernel: a seed gives the same odds, not the same run.
4. What waits is bounded: beyond it packets are lost, as in any router.

Pure: the time is handed in.
"""

import heapq
import random
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, fields

from chaos.arenas.processes.netspace.packets import flip_bit, host_of

HELD_BACK_S = 0.01
"""A packet that is reordered comes so much later than it would; what follows it passes it."""
PACKETS_MAX = 20_000
"""On their way at a time, in all."""
BACKLOG_S_MAX = 1.0
"""A pair with a limited bandwidth lets packets wait for so long; beyond it they are lost."""

Pair = tuple[int, int]
"""From, to: the last bytes of two addresses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Effects:
    """On the packets of one directed pair. Shares lie in [0, 1]; a cut is a loss of 1."""

    loss: float = 0.0
    delay_s: float = 0.0
    jitter_s: float = 0.0
    """The delay varies by so much to either side, and is never below 0."""
    duplicate: float = 0.0
    reorder: float = 0.0
    corrupt: float = 0.0
    """A flipped bit that no checksum of IP or TCP tells."""
    bytes_per_s: float = 0.0
    """0: as many as there are."""

    def __add__(self, other: "Effects") -> "Effects":
        """Both at once: each packet meets one, then the other."""
        shares = {name: 1 - (1 - getattr(self, name)) * (1 - getattr(other, name)) for name in _SHARES}
        limits = [limit for limit in (self.bytes_per_s, other.bytes_per_s) if limit]
        return Effects(
            **shares,
            delay_s=self.delay_s + other.delay_s,
            jitter_s=self.jitter_s + other.jitter_s,
            bytes_per_s=min(limits, default=0.0),
        )

    def to_plain(self) -> dict[str, float]:
        """For JSON; the inverse is the constructor."""
        return asdict(self)


_SHARES = ("loss", "duplicate", "reorder", "corrupt")
assert set(_SHARES) < {field.name for field in fields(Effects)}


class Fabric:
    """All that is on its way."""

    def __init__(self, seed: int) -> None:
        self.effects: Mapping[Pair, Effects] = {}
        """Of pairs that have any."""
        self.counts = dict.fromkeys(("packets", "lost", "duplicated", "reordered", "corrupted", "overflowed"), 0)
        self._chance = random.Random(f"fabric/{seed}")
        self._waiting: list[tuple[float, int, int, bytes]] = []
        self._number = 0
        self._last_s: dict[Pair, float] = {}
        self._free_s: dict[Pair, float] = {}

    def take(self, source: int, packet: bytes, now_s: float) -> None:
        """A packet has come from there."""
        target = host_of(packet)
        if target is None:
            return
        self.counts["packets"] += 1
        pair = (source, target)
        effects = self.effects.get(pair)
        if effects is None:
            self._put(target, packet, max(now_s, self._last_s.get(pair, 0.0)))
            return
        chance = self._chance
        if chance.random() < effects.loss:
            self.counts["lost"] += 1
            return
        due_s = now_s + max(0.0, effects.delay_s + chance.uniform(-1, 1) * effects.jitter_s)
        if effects.bytes_per_s:
            free_s = max(self._free_s.get(pair, 0.0), now_s) + len(packet) / effects.bytes_per_s
            if free_s - now_s > BACKLOG_S_MAX:
                self.counts["overflowed"] += 1
                return
            self._free_s[pair] = free_s
            due_s += free_s - now_s
        if chance.random() < effects.corrupt and (flipped := flip_bit(packet, chance)) is not None:
            self.counts["corrupted"] += 1
            packet = flipped
        due_s = max(due_s, self._last_s.get(pair, 0.0))
        if chance.random() < effects.reorder:
            self.counts["reordered"] += 1
            self._put(target, packet, due_s + HELD_BACK_S)
        else:
            self._last_s[pair] = due_s
            self._put(target, packet, due_s)
        if chance.random() < effects.duplicate:
            self.counts["duplicated"] += 1
            self._put(target, packet, due_s)

    def _put(self, target: int, packet: bytes, due_s: float) -> None:
        if len(self._waiting) >= PACKETS_MAX:
            self.counts["overflowed"] += 1
            return
        self._number += 1
        heapq.heappush(self._waiting, (due_s, self._number, target, packet))

    def due(self, now_s: float) -> Iterator[tuple[int, bytes]]:
        """To whom what has to be handed now."""
        while self._waiting and self._waiting[0][0] <= now_s:
            _, _, target, packet = heapq.heappop(self._waiting)
            yield target, packet

    def next_s(self) -> float | None:
        """When the next packet is due."""
        return self._waiting[0][0] if self._waiting else None
