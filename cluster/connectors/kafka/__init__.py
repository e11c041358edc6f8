"""Apache Kafka: topics captured, and a topic written to (`riverrun[kafka]`).

Promises:
1. A source captures each record once. Its cursor is the next offset of each partition; nothing is committed at the
   peer, and no group shares the partitions out: task n of `tasks` has those whose number modulo `tasks` is n.
   Only records of transactions that were committed are read (`read_committed`), in the order of their partition.
2. What is not there any more (below the log's start), and a cursor behind the log's end (the topic was set back, or
   made anew), stop the route with a sentence: neither is passed over. A topic that was made anew and is longer by now
   than the cursor cannot be told from the old one.
3. A sink writes at least once: what was in doubt when something failed is written again, with the same `riverrun-id`
   in its headers. Within one producer Kafka takes nothing twice (idempotence), and a record counts as written when all
   replicas in sync have it (`acks=all`). Records of one key are in their order; a piece that is written again follows
   whole. Keys go to the partitions that Kafka's own clients choose (murmur2).

The library blocks, so each connector has one thread, in which all calls are made, one after the other and each short.
`options` needs no library.
"""

ID_HEADER = "riverrun-id"
TOPIC_HEADER, PARTITION_HEADER, OFFSET_HEADER = "kafka_topic", "kafka_partition", "kafka_offset"
OURS = ("kafka_", "rr-")
"""So begin the names of headers that are said by us alone."""
