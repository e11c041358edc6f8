"""Redis as a destination: values, hashes, lists and streams (`riverrun[redis]`).

Promises:
1. The position of a lane is a key beside the data (`riverrun:position:<lane>`). One script looks at it, writes a batch
   and moves it: all of it, or nothing. So who was frozen, and has been overtaken, writes nothing any more.
2. `list` and `stream`: each record is appended once. `set` and `hash`: the last record of a key is what its Redis key
   holds, and a deletion deletes it.
3. That holds as far as Redis keeps what it acknowledged, and it keeps data and positions alike: they are one unit of
   its log and of its replication. With `appendfsync always` it keeps everything through any crash of itself. With
   `everysec`, or at a failover to a replica, it may lose the last moment of *both*; that is told (Unreachable, with
   both positions), and is not written over.
4. Where Redis evicts keys at will (`allkeys-*`) no position is safe: lists and streams are refused there. Values and
   hashes are not, since written again they are the same; so their guarantee is once by key.

Not for Redis Cluster: one batch may touch any key, and is one script. `options` and `script` need no library.
"""
