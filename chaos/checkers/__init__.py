"""Judges of histories: pure functions from what was seen to everything that is wrong with it, by name.

A checker reads events and nothing else (`replicas` and `node_logs`: what is on disks and in logs). Each is tested
against bad histories that it must catch and good ones that it must pass. An anomaly names the operations that prove it.
Names are Jepsen's (jepsen.tests.kafka) where it has one. All of them, and when they are allowed:

`log`: sends and reads of unique values. Never allowed, but for what is said.

- inconsistent offsets: one offset holds two values, by receipts and reads.
- duplicate: one value is at two offsets.
- aborted read (G1a): a value was read whose send had failed for sure.
- phantom read: a value was read that nobody sent.
- changed record: a value was read with another key than it was sent with.
- wrong partition: a value was read in another partition than it was sent to.
- broken condition: a send on condition of the partition's end stands somewhere else than at that end.
- lost write: acknowledged, or read before, and not in the final read, though something behind it was read; or, in a
  topic that was made anew, acknowledged as the last of its key (`lives`). Allowed where it was deleted, or removed by
  the rules of `compaction`.
- unseen: the same, and nothing behind it was ever read.
- nonmonotonic poll: a read, or a process's next read, goes back to an offset or stays at it. Allowed where a read says
  where it starts, and in groups, whose partitions move.
- poll skip: the same, forward, over a record that somebody has seen. Allowed over what was deleted, if the reader was
  told where the partition begins, and over what compaction may have removed.
- offset gap: the same, and nobody has ever seen a record there. Offsets have no gaps here (Kafka's have). Allowed in
  compacted topics.
- nonmonotonic send: of two successive sends of a process to a partition the later one stands first.
- key out of order: the same of two successive sends of one key.
- real-time inversion: a send began after another was acknowledged or read, and stands before it.

`receipts`, in `log` where `replicas` is given:

- receipt below majority: acknowledged before a majority of the replicas had synced.
- receipt lied: it said a majority, and the record is lost, unseen, or not on some replica (`replicas`).

`publishes`, in `log`, `groups` and `processing` where nothing is broken and `no_failures` is asked for:

- failed publish: one failed, or had no answer, within a client's own deadline. Allowed on a condition.

`deletions`, in `log`: where partitions begin.

- deleted came back: somebody was told a higher beginning than the final read's, or a read that began after that, or
  after the acknowledgement of a deletion, was given something below it.
- wrong start: the final read begins behind where the partition does. Allowed in compacted topics.
- not deleted: a deletion was acknowledged, and the partition begins below it.
- deleted too much: it begins above all that anybody had asked for by then. Allowed with `retention`.

`ages`, of topics whose only limit is one of age: what went by it.

- deleted too young: a record was gone, for a reader or from a replica's disk, before it was as old as the limit.
  Allowed by as much as a clock was behind while it was sent, and as two clocks were ahead at a time; and from when on
  somebody had asked for it.

`compaction`, in `log` and `groups`, of compacted topics: what may be missing is said there.

- tombstone gone early: a tombstone is missing that is the newest of its key, and younger than `tombstone_s`.
- came back: an older value of a key is there, and the tombstone that deleted it is gone.

`groups`: deliveries, commits and positions.

- skipped: a record that is there in the end was given to nobody.
- committed ungiven: a position was committed that passes a record which was given to somebody only later.
- disordered: within one hold of a partition offsets did not rise, or not one by one. Allowed over what may have been
  deleted or compacted.
- two owners: two members were given records of one partition in one generation.
- given again: a record below an acknowledged position was given in that generation or a later one. Allowed where the
  commit's outcome is unknown, and to a member of an older generation (a zombie).
- position went back: a lower position was committed, or told, after a higher one was acknowledged.
- not fenced: a generation committed after a later one had, or had been given a record.
- stuck: healed, and the last member did not get to the end in its time.

`copies` and `lives`, in `log`: records looked at on every disk, and topics that are made anew.

- unsafe copy: an acknowledged record is not on every replica's disk, whole, though all is healed. Allowed where limits
  may have deleted it, and most of the copies say so.
- inherited: a topic that was made anew has a record of the one before.

`processing`: what an app's outputs say of its inputs.

- lost event: an input was counted by nobody.
- counted twice: an input was counted more than once.
- phantom event: something was counted that is not among the inputs.
- out of order: two inputs of a key were counted in another order than they stand in.
- wrong count: the results of a key are not numbered from 1 without a gap.
- wrong total: a result is not the sum of what was counted up to it.
- wrong key: an input was counted for a key that is not its own.
- key in two partitions: the results of a key are in more than one partition.
- window lost: an input is in no window, and was not put aside as late.
- not late: an input was put aside as late, and no earlier one of its partition was of its window's end. Allowed behind
  a pause in which the partition may have been idle.
- window counted twice: an input is in two windows, or in one and late.
- window closed twice: a key's window was closed more than once.
- wrong window: an input is in a window that its time, or its key, is not of.

`metadata`: topics made, altered and deleted.

- metadata not linearizable: of a name, no order of the operations explains all answers.
- metadata undecided: the search for such an order was given up after its bound.
- metadata went back: a node told an older state than it had told before.
- id twice: two topics have one id.
- topic came back: a topic that was seen gone was seen again.
- phantom topic: a topic was seen that nobody can have made by then.
- topic vanished: the controller has a topic, and at the end a list lacks it.
- wrong topic: at the end a list has another topic of that name than the controller.
- inherited records: a topic has records that were sent to another one of its name.
- inherited offsets: a topic that was made anew does not begin at 0.

`changes`: an operator's steps.

- step not done: it did not come to its end within its bound, or nobody knows.
- refused step: it was refused for good; where there are no faults, at first, too. Allowed: to remove a node that still
  has a seat in the controller's quorum.
- step left out: where every step has to be done, the run's time was not enough for it.
- said to be empty: a node was said to hold nothing, and its removal was refused because it held something.
- node came back: a node that was removed is there at the end.
- node missing: a node that was not removed is not there at the end.
- not settled: healed, and something moves, waits, drains or lacks replicas after the bound.

`replicas`: each node's own copy, when all is healed and quiet.

- divergent: two copies have something else at one offset, or one lacks what the final read has. Allowed below where a
  copy begins; of compacted topics what was removed, as long as they add up to the same.
- missing copy: there are fewer copies, or more, than the topic has replicas.

`traces`: Raft's own, of partitions and of the controller's quorum, from the nodes' traces.

- two leaders: in one term, by what they said of themselves or what others followed.
- term fell: of one replica, also from one start to the next. Allowed on a disk that was wiped, and of a term that it
  only followed shortly before its node's end.

`liveness`: the times of sends, beside faults and the run's own events. The bounds are options.

- not healed: nobody answered after the last fault was mended. Not told where one could not be mended.
- slow to heal: the cluster answered later than that.
- no progress: healed, and sends to a partition were under way for too long without an acknowledgement.
- unavailable: the same at any time. Allowed in faults of more than a minority, and while recovering from one.
- stopped by a minority: the same in a fault of a minority.

`node_logs`: what nodes printed.

- failed assertion: anywhere.
- unretrieved exception: of a task, a future, a coroutine or a finalizer that nobody looked at.
- traceback: printed or traced. Allowed of events that are allowed.
- unexpected event: of the level error or critical. Allowed are those that tell of damage, where a
  fault does some, and of a node's own end, in a life that ended while a fault excused that.

Jepsen's other anomalies are of transactions that read and write (precommitted read, G0, G1c, skips within one send):
there are none here. A task's commit is judged by what it adds up to.
"""
