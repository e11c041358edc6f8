"""What a replica's records add up to: of each key the newest one, unless it is a tombstone."""

from cluster.broker.replica import Replica
from cluster.wire.records import decode_batch

Table = dict[bytes, tuple[int, bytes]]


def table_of(replica: Replica) -> Table:
    """Over all that can be read here; replicas may have compacted differently, and this is equal all the same."""
    log, table = replica.log, Table()
    first, last = log.first_index, replica.raft.commit
    for entry in log.entries(first, last=last, bytes_max=1 << 40, count_max=1 << 40):
        if entry.batch is not None:
            for record in decode_batch(entry.batch, entry.base_offset):
                key = record.key or b""
                if record.value and record.offset >= log.start_offset:
                    table[key] = record.offset, record.value
                else:
                    table.pop(key, None)
    return table


def first_difference(tables: list[Table]) -> tuple[bytes, list[tuple[int, bytes] | None]] | None:
    """A key that is not the same in all of them, with what each has."""
    for key in sorted(set().union(*tables)):
        found = [table.get(key) for table in tables]
        if any(other != found[0] for other in found):
            return key, found
    return None
