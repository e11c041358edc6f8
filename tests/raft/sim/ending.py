"""After the storm: whether one world has come to rest, and whether what is left is what was chosen."""

from typing import TYPE_CHECKING

from tests.raft.sim.host import Host
from tests.raft.sim.invariants import Violation

if TYPE_CHECKING:
    from tests.raft.sim.world import World


def is_settled(world: "World") -> bool:
    """Whether everybody in the group has all that was chosen, on disk, and the last change is done."""
    commit = world.invariants.commit
    return all(
        host.core.commit == host.core.last_index == host.core.durable_index == commit
        and not host.core.recovering
        and not host.core.doubts
        for host in members(world)
    ) and (not world.mix.change_us_mean or world.changes.is_done)


def members(world: "World") -> list[Host]:
    """Who belongs to the group, by what was chosen."""
    return [world.hosts[member.replica - 1] for member in world.invariants.memberships[-1][1].everybody()]


def why_not_settled(world: "World") -> str:
    """What was still missing when the time was up."""
    states = [
        f"{host.me}: {host.core.role.value} of {host.core.term}, commit {host.core.commit}, "
        f"last {host.core.last_index}, durable {host.core.durable_index}, doubtful {host.core.doubts}, "
        f"recovering {host.core.recovering}, asleep {host.core.asleep}"
        for host in world.hosts
        if host.up
    ]
    progress = [producer.acknowledged for producer in world.producers]
    chosen = world.invariants.memberships[-1]
    wanted = f"{chosen} was chosen, {world.changes.target} are wanted"
    return f"healed at {world.healed_at}, now {progress}; {wanted}; " + "; ".join(states)


def compare(world: "World") -> None:
    """All logs and disks are equal, and every acknowledged command is there once, in its producer's order."""
    invariants = world.invariants
    for host in members(world):
        for log in (host.log, host.disk.image):
            invariants.folded(host, log.fold)
            rest = list(zip(log.terms, log.commands, strict=True))
            if rest != invariants.chosen[log.fold.index + 1 :]:
                raise Violation(f"equal logs: {host.me} ends with another log than was chosen")
    found: dict[int, int] = {}
    for _, (producer, sequence) in invariants.chosen:
        if producer > 0 and found.setdefault(producer, -1) != sequence - 1:
            raise Violation(f"sequences: {(producer, sequence)} was chosen after {found[producer]}")
        found[producer] = sequence
    for command in invariants.acknowledged:
        if command not in invariants.places:
            raise Violation(f"lost: {command} was acknowledged and is not there")
