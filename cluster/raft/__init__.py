"""Consensus for one partition (Ongaro and Ousterhout, "In Search of an Understandable Consensus Algorithm").

No I/O, no clock, no chance, no payload: a `Raft` is told what happened and says what to do. The contract:

- In: `step(message)`, `tick()`, `propose(size)`, `propose_membership(membership, size)`, `persisted(ticket)`,
  `vote_persisted(ticket)`, `campaign()`, `transfer()`, `read_barrier()`, `log_trimmed()`, `allow_vote()`, `wake()`.
- Out: `ready()` gives one `Ready` at a time, or None. Everything in it is to be done, in the order of its fields; the
  writes in it become durable some time later and in order, and are reported by `persisted(ticket)`; where there is no
  room for the rest of them, their votes by `vote_persisted(ticket)`.

A driver's loop:

    for message in arrived:
        raft.step(message)
    while (ready := raft.ready()) is not None:
        log.write(ready.vote, ready.truncate_from, ready.fold, ready.entries)   # later: raft.persisted(ready.ticket)
        send(ready.messages)          # may leave before that write is on disk
        send(ready.promises)          # rest on writes that are on disk now
        publish(ready.commit)

A header in `Ready.entries` that the driver neither proposed nor was sent is the no-op that begins a leader's term, of
size 0, or, if it has a `membership`, the final one that follows a joint one: the driver makes the entry. It may come
when this replica leads no more: elected and deposed in one turn. What was proposed is to be taken out by `ready()`
before the next `step()`, so that a truncation never meets entries that only the driver knows.

Who belongs to the group is in the log: headers of entries that are a membership say it, and so does an `InstallFold`
(its driver finds it in the fold). It is in effect when the core has it; `membership` is the newest. Messages may come
from, and go to, replicas that are in none: the driver has to find them, too. `configuration` has the rules of changes.

What was sent to a replica before it was started again does not arrive after that: a late append would end the recovery
of one that does not know what it has lost, or how much. Nor is a question of its earlier life answered then.

A driver that drops content sets `floor`, drops nothing more while `catching_up`, and keeps the content that came with a
message only for entries that the core `takes`: the same entry may come whole and incomplete in one turn.
Where this differs from the paper: `DIVERGENCE.md`.
"""

from cluster.raft.core import Raft
from cluster.raft.ready import LogState, Member, Membership, Ready, Role, Vote

__all__ = ["LogState", "Member", "Membership", "Raft", "Ready", "Role", "Vote"]
