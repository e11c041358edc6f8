"""What has come of everything that a core was told, as one `Ready`: the contract's "out"."""

from typing import TYPE_CHECKING

from cluster.messages import EntryHeader
from cluster.raft import configuration, replication
from cluster.raft.ready import Ready, Role

if TYPE_CHECKING:
    from cluster.raft.core import Raft


def ready(core: "Raft") -> Ready | None:
    """What is to be done now; None if nothing is."""
    if core.role is Role.LEADER:
        configuration.go_on(core, core.told[3])
    if core.role is Role.LEADER:
        replication.replicate_all(core)
    told = (core.role, core.term, core.leader, core.commit)
    if (
        not core.outbox
        and not core.writes.waiting
        and not core.writes.has_released
        and told == core.told
        and not (core.confirmed or core.failed)
    ):
        return None
    ticket = vote = truncate_from = fold = None
    entries: tuple[EntryHeader, ...] = ()
    if core.writes.waiting:
        ticket, vote, truncate_from, fold, first = core.writes.take(core.terms.last_index)
        if first is not None:
            entries = core.sizes.headers(core.terms, core.memberships, first, core.terms.last_index)
    changed = told[:3] != core.told[:3]
    found = Ready(
        messages=tuple(core.outbox),
        vote=vote,
        truncate_from=truncate_from,
        fold=fold,
        entries=entries,
        ticket=ticket,
        promises=core.writes.take_released(),
        commit=core.commit if core.commit != core.told[3] or fold is not None else None,
        barriers=tuple(core.confirmed),
        failed_barriers=tuple(core.failed),
        role=core.role if changed else None,
        leader=core.leader,
        term=core.term,
    )
    core.outbox.clear()
    core.confirmed.clear()
    core.failed.clear()
    core.told = told
    return found
