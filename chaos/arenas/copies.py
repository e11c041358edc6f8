"""What one replica holds, read from its own log: for the comparison of every replica with the others at the end."""

import zlib

from chaos.checkers.replicas import Copy, Held
from cluster.log import Log
from cluster.wire.records import decode_batch

IDENTITY = "id"
"""The header of a tombstone that tells it from others: see `chaos.history`."""


def copy_of(log: Log, *, node: int, partition: int) -> Copy:
    """All records from where the log begins; what is behind the commit, too. Whatever is damaged raises."""
    held = []
    for entry in log.entries(log.first_index, last=log.last_index, bytes_max=1 << 50, count_max=1 << 50):
        if entry.batch is None:
            continue
        if not entry.batch.is_intact():
            raise ValueError(f"the batch at offset {entry.base_offset} of partition {partition} is damaged")
        for record in decode_batch(entry.batch, entry.base_offset):
            if record.offset < log.start_offset:
                continue
            identity = record.value or next((h.value for h in record.headers if h.name == IDENTITY), b"")
            content = b"\0".join((record.key or b"", record.value, *(h.value for h in record.headers)))
            held.append(
                Held(
                    offset=record.offset,
                    key=None if record.key is None else record.key.decode(errors="replace"),
                    value=identity.decode(errors="replace"),
                    tombstone=not record.value,
                    checksum=zlib.crc32(content),
                )
            )
    return Copy(node=node, partition=partition, first=log.start_offset, records=held)
