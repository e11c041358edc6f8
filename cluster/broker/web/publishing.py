"""`POST /topics/{topic}/records`: one record or many, or CloudEvents, become one Publish; its receipts come back.

    application/json                     one record, or a list of them (see `records`)
    application/cloudevents+json         one event, structured
    application/cloudevents-batch+json   a list of events
    anything, with `ce-` headers         one event, binary: the body is its data

Nothing else is taken: a web page of another origin can send forms and plain text without asking, but none of these.
Query: `partition`, `durability` (majority_synced, leader_synced), `expected_end`. A node does not retry what may have
been done: whoever must not publish twice uses `expected_end`, or gRPC with a producer id.
"""

import asyncio
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from cluster.broker.publish_service import PUBLISH
from cluster.broker.web.body import read_body
from cluster.broker.web.calls import Handlers, WebCall
from cluster.broker.web.cloud_events import HTTP_PREFIX, from_binary, from_structured
from cluster.broker.web.content import media_type, parse_json
from cluster.broker.web.failures import Refused
from cluster.broker.web.queries import PARTITION_MAX, Query
from cluster.broker.web.records import JsonRecord, to_record
from cluster.broker.web.times import time_text
from cluster.config import HttpOptions
from cluster.errors import InvalidRequest, RecordTooLarge, RiverrunError
from cluster.wire.api import records_pb2, stream_pb2

JSON = "application/json"
EVENT = "application/cloudevents+json"
EVENTS = "application/cloudevents-batch+json"
EVENT_FAMILY = "application/cloudevents"
DURABILITIES = {
    "majority_synced": records_pb2.DURABILITY_MAJORITY_SYNCED,
    "leader_synced": records_pb2.DURABILITY_LEADER_SYNCED,
    "accepted": records_pb2.DURABILITY_ACCEPTED,
}
DURABILITY_NAMES = {number: name for name, number in DURABILITIES.items()}
Groups = dict[int | None, list[records_pb2.Record]]
"""Records by the partition that each of them names; None: by key, or any."""


class Publishing:
    """Answers posts of records."""

    def __init__(self, handlers: Handlers, options: HttpOptions) -> None:
        self._handlers = handlers
        self._options = options

    async def answer(self, request: Request, call: WebCall) -> Response:
        """Publish what was posted; RiverrunError or Refused if it cannot be."""
        query = Query(request, {"partition", "durability", "expected_end"})
        partition = query.number("partition", PARTITION_MAX)
        wanted = stream_pb2.PublishRequest(
            topic=request.path_params["topic"],
            durability=query.choice("durability", DURABILITIES) or records_pb2.DURABILITY_UNSPECIFIED,
        )
        expected_end = query.number("expected_end")
        if expected_end is not None:
            if partition is None:
                raise InvalidRequest("expected_end needs the partition whose end it is")
            wanted.expected_end = expected_end
        groups = self._grouped(await self._records(request), partition)
        requests = [_request(wanted, number, records) for number, records in groups.items()]
        results = await asyncio.gather(*(self._publish(one, call) for one in requests), return_exceptions=True)
        receipts: list[records_pb2.Receipt] = []
        failures: list[BaseException] = []
        for result in results:
            if isinstance(result, BaseException):
                failures.append(result)
            else:
                receipts += result
        if failures:
            raise _told(failures[0], receipts)
        return Response(msgspec.json.encode({"receipts": [_receipt(one) for one in receipts]}), 200, None, JSON)

    async def _publish(self, request: stream_pb2.PublishRequest, call: WebCall) -> list[records_pb2.Receipt]:
        return list((await self._handlers.ask(PUBLISH, request, stream_pb2.PublishResponse, call)).receipts)

    async def _records(self, request: Request) -> list[tuple[int | None, records_pb2.Record]]:
        """The records of the body, each with the partition that it names itself."""
        content_type = request.headers.get("content-type")
        kind = media_type(content_type or "")
        is_binary = any(name.startswith(HTTP_PREFIX) for name in request.headers)
        if kind not in {JSON, EVENT, EVENTS} and (not is_binary or kind.startswith(EVENT_FAMILY)):
            raise _unacceptable(kind)
        body = await read_body(request, self._options)
        if kind == EVENT:
            return [(None, from_structured(parse_json(body, dict[str, msgspec.Raw])))]
        if kind == EVENTS:
            events = self._counted(parse_json(body, list[dict[str, msgspec.Raw]]))
            return [(None, _placed(place, from_structured, event)) for place, event in enumerate(events)]
        if is_binary:
            return [(None, from_binary(request.headers.items(), content_type, body))]
        items = parse_json(body, JsonRecord | list[JsonRecord])
        if isinstance(items, JsonRecord):
            return [(items.partition, to_record(items))]
        if not items:
            raise InvalidRequest("a publish holds at least one record")
        return [(item.partition, _placed(place, to_record, item)) for place, item in enumerate(self._counted(items))]

    def _counted(self, items: list[Any]) -> list[Any]:
        limit = self._options.records_per_publish_max
        if len(items) > limit:
            raise RecordTooLarge(
                f"the list has {len(items)} records; at most {limit} are taken at once", limit_records=str(limit)
            )
        return items

    @staticmethod
    def _grouped(records: list[tuple[int | None, records_pb2.Record]], partition: int | None) -> Groups:
        groups: Groups = {}
        for own, record in records:
            if own is not None and not 0 <= own <= PARTITION_MAX:
                raise InvalidRequest(f"{own} is no partition's number")
            if partition is not None and own is not None and own != partition:
                raise InvalidRequest(f"a record names partition {own}, and the request partition {partition}")
            groups.setdefault(partition if own is None else own, []).append(record)
        return groups


def _request(
    wanted: stream_pb2.PublishRequest, partition: int | None, records: list[records_pb2.Record]
) -> stream_pb2.PublishRequest:
    request = stream_pb2.PublishRequest()
    request.CopyFrom(wanted)
    if partition is not None:
        request.partition = partition
    request.records.extend(records)
    return request


def _placed(place: int, make: Any, item: Any) -> records_pb2.Record:
    """The record of an item of a list; its errors say which item it was."""
    try:
        made: records_pb2.Record = make(item)
    except InvalidRequest as error:
        raise InvalidRequest(f"item {place} of the list: {error.message}", item=str(place)) from None
    return made


def _told(error: BaseException, receipts: list[records_pb2.Receipt]) -> BaseException:
    """One error for all; what was appended nevertheless is in its metadata."""
    if isinstance(error, RiverrunError) and receipts:
        error.metadata["appended_partitions"] = ",".join(str(receipt.partition) for receipt in receipts)
    return error


def _receipt(receipt: records_pb2.Receipt) -> dict[str, Any]:
    return {
        "partition": receipt.partition,
        "offset": receipt.offset,
        "count": receipt.record_count,
        "term": receipt.term,
        "durability": DURABILITY_NAMES[receipt.durability],
        "replicas_synced": receipt.replicas_synced,
        "replicas": receipt.replicas,
        "duplicate": receipt.duplicate,
        "checksum_by_node": receipt.checksum_by_node,
        "append_time": time_text(receipt.append_time_ns),
    }


def _unacceptable(kind: str) -> Refused:
    error = InvalidRequest(
        f"records come as {JSON}, {EVENT} or {EVENTS}, or as one event with its attributes in ce- headers; "
        f"not as {kind or 'a body without a Content-Type'}"
    )
    return Refused(error, status=415, headers={"Accept-Post": f"{JSON}, {EVENT}, {EVENTS}"})
