"""Entries of a partition as a reader asked for them: decoded records, or batches as their producer sealed them."""

from collections.abc import Sequence
from dataclasses import replace

from cluster.errors import RiverrunError
from cluster.records import Batch, Entry
from cluster.types import Codec, Offset
from cluster.wire import api
from cluster.wire.api import stream_pb2
from cluster.wire.records import decode_batch, decompress, seal_batch


class Delivery:
    """Makes the answers of one partition of one read."""

    def __init__(self, partition: int, request: stream_pb2.ReadRequest, stop: Offset | None) -> None:
        self._partition = partition
        self._batches = request.format == stream_pb2.READ_FORMAT_BATCHES
        self._codecs = {Codec.NONE, *(api.codec_from_pb(number) for number in request.codecs)}
        self._stop = stop

    def answer(self, entries: Sequence[Entry], position: Offset, end: Offset) -> tuple[Offset, bytes, bool]:
        """The next position, the encoded answer, and whether it is the last one."""
        response = stream_pb2.ReadResponse(partition=self._partition)
        for entry in entries:
            if self._stop is not None and entry.base_offset >= self._stop:
                break
            if entry.batch is None or (entry.batch.compacted and not entry.batch.payload):
                pass  # a hole
            elif self._batches:
                api.stored_batch_to_pb(self._acceptable(entry), response.batches.add())
            else:
                self._add_records(entry, position, response)
            position = entry.end_offset
        done = self._stop is not None and position >= self._stop
        if done and self._stop is not None:
            position = self._stop
        return position, self._sealed(response, position, end, finished=done), done

    def finished(self, position: Offset, end: Offset) -> bytes:
        """There is nothing to read before the stop."""
        return self._sealed(stream_pb2.ReadResponse(partition=self._partition), position, end, finished=True)

    def standing(self, position: Offset, end: Offset) -> bytes:
        """Nothing new yet."""
        return self._sealed(stream_pb2.ReadResponse(partition=self._partition), position, end, finished=False)

    @staticmethod
    def _sealed(response: stream_pb2.ReadResponse, position: Offset, end: Offset, *, finished: bool) -> bytes:
        response.position, response.end, response.finished = position, end, finished
        return response.SerializeToString()

    def _add_records(self, entry: Entry, position: Offset, response: stream_pb2.ReadResponse) -> None:
        assert entry.batch is not None
        try:
            records = decode_batch(entry.batch, entry.base_offset)
        except RiverrunError as error:
            error.metadata["offset"] = str(entry.base_offset)
            error.metadata["next"] = str(entry.end_offset)
            raise
        for record in records:
            if record.offset >= position and (self._stop is None or record.offset < self._stop):
                response.records.append(api.record_to_pb(record))

    def _acceptable(self, entry: Entry) -> Entry:
        """The entry with a batch in a codec that the reader named; decompressed and sealed anew if need be."""
        batch = entry.batch
        assert batch is not None
        if batch.codec in self._codecs:
            return entry
        plain: Batch = seal_batch(
            decompress(batch),
            record_count=batch.record_count,
            min_timestamp_ns=batch.min_timestamp_ns,
            max_timestamp_ns=batch.max_timestamp_ns,
            producer_id=batch.producer_id,
            producer_epoch=batch.producer_epoch,
            base_sequence=batch.base_sequence,
        )
        return replace(entry, batch=replace(plain, compacted=batch.compacted))
