"""Processing: plain Python beside the log, exactly once.

What a user writes is an `App` (`app`): topics of typed events (`event`, `topics`), and functions with a decorator
(`processor`, `window`, `join`), checked when they are defined (`binding`, `processor`). What comes of it are plain
values (`spec`) that a cluster can store, and stages that a `Runner` (`runner`) runs: `Work` in, `Effects` out (`work`).
`testing` has the whole of it in memory, in virtual time, with crashes.

Rules:
1. One work, one commit: positions, state, timers, outputs and watermark change together or not at all. A runner does
   no I/O and keeps nothing that could not be had again: it is a function of the work, committed state, and the code.
2. The first parameter's annotation chooses the view (one event, `list[Event]`, `bytes`, a RecordBatch: `arrow`); the
   others are handed over by their types (`handles`, `context`). None emits nothing, one value one record, an iterable
   many.
3. State is by the record's key, and changes in place persist (`state`). Records whose key is another field go through
   an internal topic first: then there are two stages (`rekeying`).
4. Time is event time. Watermarks are per task and in the commit; who is idle holds nobody up, who cannot be reached
   holds everybody; late is a matter of the records' order, not of how they were cut into works (`watermarks`).
5. Windows and joins are state and timers (`windows`, `joins`). A timer is durable, one for each key and name; it fires
   in the work after the commit whose watermark (or time) has come to it, before that work's records.
6. What fails is taken back whole, and found: one record is to blame, and `on_error` says what becomes of it: the task
   stops, it is counted and passed over, or it is a dead letter in the same commit, with its key parked behind it until
   a redrive (`attempts`, `parking`, `policies`). Timers, and state that does not decode, stop the task. Between
   attempts time passes, for which whoever hands over works sees (TriesLeft).
7. Every output says where it comes from, in its headers (`draft`).
8. Async functions run side by side, those of one key one after another, results in the order of the records; all of a
   process on one loop (`async_calls`).

What whoever hands over works has to keep: works of a task come in order, at most one redrive at a time and nothing
beside it; a runner one of whose works was refused is thrown away; all inputs of a stage, its dead letters among them,
have the same number of partitions; a task of a stage with `timers` or `watermarks` whose inputs are all idle gets an
empty work now and then, for its time goes on.
"""
