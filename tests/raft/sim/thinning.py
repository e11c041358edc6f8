"""What goes from logs: their beginnings are folded, and what was deleted is dropped, with its tombstones at last."""

from typing import TYPE_CHECKING

from cluster.types import Index

if TYPE_CHECKING:
    from tests.raft.sim.host import Host


def trim(host: "Host") -> None:
    """Fold the beginning of a long log, up to what is committed and durable."""
    after, core = host.world.mix.trim_after, host.core
    if not after or core.commit - host.log.fold.index < after:
        return
    index = Index(min(core.commit - host.world.random.randint(0, after // 2), core.durable_index))
    if index <= host.log.fold.index or host.disk.image.last_index < index:
        return
    term = host.log.term_at(index)
    assert term is not None, "what is committed and durable is there"
    host.log.trim_to(index)
    host.disk.image.trim_to(index)
    host.world.invariants.folded(host, host.disk.image.fold)
    host.world.count("logs_trimmed")
    host.core.log_trimmed(index, term)


def compact(host: "Host") -> None:
    """Drop what was deleted, as far as it is committed and durable; tombstones only if nobody is catching up."""
    core, mix = host.core, host.world.mix
    if not mix.floor_us_mean or core.commit <= host.compacted or host.world.chance.random() > mix.compaction:
        return
    upto = min(core.commit, core.durable_index, host.disk.image.last_index)
    floor = Index(0) if core.catching_up else host.log.floor_at(core.commit)
    host.world.counts["tombstones_dropped"] += host.log.compact(upto, floor)
    host.disk.image.compact(upto, floor)
    host.compacted = core.commit


def raise_floor(host: "Host") -> None:
    """Say, as a leader, that old tombstones may be dropped."""
    core = host.core
    floor = Index(core.commit - host.world.chance.randint(0, host.world.mix.floor_lag_max))
    if floor <= core.floor or not core.is_leader:
        return
    host.carry_out()
    header = core.propose(10)
    if header is not None:
        host.world.count("floors_raised")
        host.append(header.index, header.term, (0, floor))
    host.finish_turn()
