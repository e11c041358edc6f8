"""Key compaction: of each key only the newest record is kept, and a key that was deleted takes no room at all.

Rules:
1. Each replica compacts its own log, at its own time, and only segments that are sealed: committed, on disk, and taking
   no more entries. No offset changes; what goes leaves a hole (`cluster.holes`, `cluster.wire.compacting`).
2. A pass looks up the newest offset of each key in what no pass has seen (`newest`), then writes all segments anew from
   the oldest on, without the records that have a newer one with their key (`survivors`). So whenever it is cut short, a
   record is only gone where its newer one is there.
3. A pass begins when what no pass has seen is a certain share of it all, or as old as tombstones get (`rules`). So the
   work for each byte has a bound, and so has the room: what is needed, as much again, and the segment that takes
   entries.
4. A record without a value is a tombstone: it deletes its key. It stays for `tombstone_ms`, so that readers see it, and
   until the leader's word is committed (DROP_TOMBSTONES, an index): then each replica drops it in a pass that has seen
   that nothing older of its key is left.
5. The leader gives that word only for what its followers have, but for those that are further behind than
   `lagging_bytes_max`. A follower without that tombstone might keep what it deletes: such a one begins anew
   (`Raft.floor`), and while it is brought up its leader drops none.
6. Records without a key, and batches that cannot be decoded, stay.

Measured on one core, reading twice and writing once: 200 MB/s of records of 1 KiB in batches, 35 MB/s of 100 B, and
5 MB/s where each of these is a batch of its own. A node does it in half of the time at most, at 32 MiB/s at most.

`compacting` is a replica's side, in its turns; `compactor` does a node's passes, one after the other, in small pieces.
"""
