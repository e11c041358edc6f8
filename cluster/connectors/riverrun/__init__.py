"""Another cluster of riverrun: a topic of it captured (mirrored), or written to.

What is mirrored keeps its key, value, time and headers, and says where it stood in headers of its own (`MIRROR_…`).

Exactly once in both directions. A source's cursor is the offset in each partition. A sink is alone in writing to its
topic: partition i of its input goes to partition i there, in batches that are taken only at the end that the last one
left (compare and append), whose last record says up to where its lane was delivered. So what a lost answer left in
doubt is seen at the destination itself, and a writer that others have replaced is refused.
"""

MIRROR_TOPIC = "mirror-topic"
MIRROR_PARTITION = "mirror-partition"
MIRROR_OFFSET = "mirror-offset"
LANE_HEADER = "mirror-lane"
POSITION_HEADER = "mirror-position"
"""Of the last record of a batch: the lane's position behind it."""
