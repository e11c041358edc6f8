"""Groups: readers who share partitions, and whose positions the cluster keeps.

Where what is decided:
- A group lives in one partition of the internal topic `__groups`, chosen by its name. Its members, who holds what, and
  its positions are the state that this partition's commands fold into (`state`, pure); the rules of who gets what are
  `assignment`, how much there may be is `weight` (both pure). So they are replicated, survive any node, and are trimmed
  by their own snapshots.
- The leader of that partition coordinates (`coordinator`): it knows which members have a stream now, tells each what it
  holds, and lets a member go that had none for the grace. What is given back at a time goes together (`releasing`).
- The node that a member talks to keeps a stream to the coordinator, through changes of it (`attachment`), and delivers
  records from the partitions' leaders (`subscription`, `delivering`).

Rules:
1. The open stream is the lease. A member that lost its stream keeps what it has for `session_grace_s`; who comes back
   with its session is the same member and nothing moves, however long its join takes to be decided.
2. A partition has one holder. To move it is asked back; it goes to another member only after its holder has released
   it, or has left. Only what must move is asked back.
3. Each time that a partition changes hands its generation rises. A commit or release of another generation is refused.
4. A position never goes back, but by a reset of a group that has no members.
5. A group without a position for a partition gets one before anything is delivered from it: where "latest" was is then
   known for ever, and nothing is skipped when the partition moves.
6. Members are told only what is committed: nobody begins with a partition whose release may yet be undone.
"""
