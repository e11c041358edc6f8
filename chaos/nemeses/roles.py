"""Whom a fault hits: a role's nodes at this moment."""

import random
from collections import Counter
from collections.abc import Sequence

from chaos.arenas.arena import Roles


def resolve(role: str, roles: Roles, nodes: Sequence[int], chance: random.Random) -> list[int]:
    """The nodes, ascending; a role that nobody has now goes to anybody."""
    if role == "client":
        return []
    if role == "all":
        return list(nodes)
    if role in {"minority", "majority"}:
        size = (len(nodes) - 1) // 2 if role == "minority" else len(nodes) // 2 + 1
        return sorted(chance.sample(list(nodes), max(size, 1)))
    leading = Counter(node for (topic, _), node in roles.leaders.items() if not topic.startswith("__"))
    if role == "leaders":
        return sorted(leading) or [chance.choice(list(nodes))]
    leads_most = leading.most_common(1)[0][0] if leading else None
    found = {
        "leader": leads_most,
        "follower": chance.choice([node for node in nodes if node != leads_most] or list(nodes)),
        "controller": roles.controller,
        "coordinator": chance.choice(sorted(roles.coordinators.values())) if roles.coordinators else None,
        "one": None,
    }[role]
    return [chance.choice(list(nodes)) if found is None else found]
