"""What the commands in the partitions of a topic fold into, by its name."""

from cluster.broker.groups.home import GROUPS_TOPIC
from cluster.broker.groups.state import Groups
from cluster.log import MachineOf
from cluster.processing.internal_topics import TASKS_PREFIX
from cluster.processing.ledger import Ledger


def machine_of_topic(name: str, groups: MachineOf = Groups, ledger: MachineOf = Ledger) -> MachineOf | None:
    """None: it takes no commands."""
    if name == GROUPS_TOPIC:
        return groups
    return ledger if name.startswith(TASKS_PREFIX) else None
