"""What a batch must satisfy before it reaches a replica: limits named in the configuration, and its own checksum."""

from cluster.config import BrokerOptions
from cluster.errors import ChecksumMismatch, InvalidRequest, RecordTooLarge
from cluster.records import Batch, Record
from cluster.wire.records import UNCOMPRESSED_BYTES_MAX


def check_batch(batch: Batch, options: BrokerOptions) -> None:
    """Refuse a batch that breaks a limit or whose bytes are not those that its producer sealed."""
    if batch.compacted:
        raise InvalidRequest("only nodes compact batches: publish all of the records, or a batch without the hole")
    if batch.record_count < 1 or not batch.payload:
        raise InvalidRequest("a batch holds at least one record")
    if batch.record_count > options.records_per_batch_max:
        raise RecordTooLarge(
            f"the batch holds {batch.record_count} records; at most {options.records_per_batch_max} are allowed",
            limit_records=str(options.records_per_batch_max),
        )
    if len(batch.payload) > options.batch_bytes_max:
        raise RecordTooLarge(
            f"the batch takes {len(batch.payload)} bytes; at most {options.batch_bytes_max} are allowed",
            limit_bytes=str(options.batch_bytes_max),
        )
    if batch.uncompressed_size > UNCOMPRESSED_BYTES_MAX:
        raise RecordTooLarge(
            f"the batch takes {batch.uncompressed_size} bytes decompressed; {UNCOMPRESSED_BYTES_MAX} are allowed",
            limit_bytes=str(UNCOMPRESSED_BYTES_MAX),
        )
    if batch.max_timestamp_ns < batch.min_timestamp_ns:
        raise InvalidRequest("the batch's latest timestamp lies before its earliest")
    if not batch.is_intact():
        raise ChecksumMismatch("the batch does not match its checksum: it was damaged on its way here; send it again")


def check_record(record: Record, options: BrokerOptions) -> None:
    """Refuse a record over the limit, before the node encodes it."""
    size = len(record.value) + len(record.key or b"") + sum(len(h.name) + len(h.value) for h in record.headers)
    if size > options.record_bytes_max:
        raise RecordTooLarge(
            f"the record takes {size} bytes; at most {options.record_bytes_max} are allowed",
            limit_bytes=str(options.record_bytes_max),
        )
