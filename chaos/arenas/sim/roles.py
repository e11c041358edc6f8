"""Who is what in a simulated cluster, read off its running replicas."""

from chaos.arenas.arena import Roles
from cluster.broker.groups.home import GROUPS_TOPIC
from cluster.broker.groups.state import Groups
from cluster.sim.cluster import SimCluster
from cluster.types import Term


def roles_of(cluster: SimCluster) -> Roles:
    """As it is now. Of two that think they lead a partition it is the one with the higher term."""
    leaders: dict[tuple[str, int], tuple[Term, int]] = {}
    coordinators: dict[str, int] = {}
    controller = None
    for number, node in cluster.running.items():
        if node.controller.controller_node() == number:
            controller = number
        names = {topic.id: name for name, topic in node.broker.directory.by_name.items()}
        for partition, running in node.broker.running.items():
            raft, name = running.replica.raft, names.get(partition.topic)
            if name is None or not raft.is_leader:
                continue
            place = name, partition.number
            leaders[place] = max(leaders.get(place, (Term(0), 0)), (raft.term, number))
            machine = running.replica.log.fold.machine
            if name == GROUPS_TOPIC and isinstance(machine, Groups) and leaders[place][1] == number:
                coordinators |= dict.fromkeys(machine.by_name, number)
    return Roles(
        leaders={place: number for place, (_, number) in leaders.items()},
        controller=controller,
        coordinators=coordinators,
        alive=sorted(cluster.running),
    )
