"""Posts of records to a whole node in virtual time: what is appended, and what the answers say."""

import asyncio
import json

import pytest

from cluster.sim.cluster import SimCluster
from tests.broker.web.client import JSON, STALLED, WebClient, app_of, on_nodes, on_one_node

pytestmark = pytest.mark.slow
RECORDS = "/topics/t/records"
EVENT = {"specversion": "1.0", "id": "1", "source": "/till/7", "type": "example.sold"}
STRUCTURED = "application/cloudevents+json"
BATCH = "application/cloudevents-batch+json"


async def make_topic(client: WebClient, partitions: int = 1) -> None:
    """The topic `t`."""
    made = await client.call("TopicService/CreateTopic", {"name": "t", "partitions": partitions})
    assert 200 == made.status
    await asyncio.sleep(1)  # of virtual time: the other nodes hear who leads


async def stored(client: WebClient) -> list[object]:
    """The values of all records, in order."""
    return [record.get("value", record.get("value_text")) for record in (await client.get(RECORDS)).json()["records"]]


@on_one_node()
async def test_records_are_appended_and_the_receipt_says_so(client: WebClient) -> None:
    """One, or a list; the same facts as in a receipt of gRPC."""
    await make_topic(client)
    one = await client.post(RECORDS, {"value": {"n": 0}, "key": "a"})
    assert (200, JSON) == (one.status, one.headers["content-type"])
    receipt = one.json()["receipts"][0]
    assert receipt.pop("append_time").endswith("Z")
    assert {
        "partition": 0,
        "offset": 0,
        "count": 1,
        "term": 1,
        "durability": "majority_synced",
        "replicas_synced": 1,
        "replicas": 1,
        "duplicate": False,
        "checksum_by_node": True,
    } == receipt
    many = await client.post(RECORDS + "?durability=leader_synced&partition=0", [{"value": 1}, {"value_text": "two"}])
    receipt = many.json()["receipts"][0]
    assert (1, 2, "leader_synced") == (receipt["offset"], receipt["count"], receipt["durability"])
    assert [{"n": 0}, 1, "two"] == await stored(client)


@on_one_node()
async def test_keys_choose_partitions_and_records_may_too(client: WebClient) -> None:
    """One receipt for each partition; equal keys go where gRPC's clients send them."""
    await make_topic(client, 4)
    keyed = await client.post(RECORDS, [{"value": n, "key": f"k{n % 8}"} for n in range(40)])
    assert 40 == sum(receipt["count"] for receipt in keyed.json()["receipts"])
    placed = await client.post(RECORDS, [{"value": n, "partition": n % 2 * 3} for n in range(6)])
    assert [(0, 3), (3, 3)] == [(receipt["partition"], receipt["count"]) for receipt in placed.json()["receipts"]]
    for partition in range(4):
        listed = await client.get(f"{RECORDS}?partition={partition}")
        for record in listed.json()["records"]:
            assert "key" not in record or all(
                partition == other["partition"]
                for other in listed.json()["records"]
                if other.get("key") == record["key"]
            )


@on_one_node()
async def test_events_come_in_three_forms(client: WebClient) -> None:
    """Structured, a batch of them, and binary; read back as events."""
    await make_topic(client)
    structured = EVENT | {"datacontenttype": JSON, "data": {"n": 1}}
    batch = [EVENT | {"id": "2"}, EVENT | {"id": "3", "partitionkey": "alice"}]
    assert 200 == (await client.post(RECORDS, structured, kind=STRUCTURED)).status
    assert 200 == (await client.post(RECORDS, batch, kind=BATCH + "; charset=utf-8")).status
    headers = {f"ce-{name}": text for name, text in (EVENT | {"id": "4"}).items()}
    assert 200 == (await client.post(RECORDS, b"\xff", headers, kind="image/png")).status
    assert {"receipts": []} == (await client.post(RECORDS, [], kind=BATCH)).json()
    found = (await client.get(RECORDS + "?format=cloudevents")).json()["records"]
    assert [structured, *batch] == found[:3]
    assert EVENT | {"id": "4", "datacontenttype": "image/png", "data_base64": "/w=="} == found[3]
    plain = (await client.get(RECORDS)).json()["records"]
    assert ["1", "2", "3", "4"] == [record["headers"]["ce_id"] for record in plain]
    assert "alice" == plain[2]["key"]


REFUSED = [
    (RECORDS, b"[", JSON, 400, "ends too early, at line 1, column 2"),
    (RECORDS, b'[{"value": 1},\n {"value": 1, "kay": 2}]', JSON, 400, "unknown field `kay` - at `$[1]`"),
    (RECORDS, [{"value": 1}, {}], JSON, 400, "item 1 of the list: a record has one of"),
    (RECORDS, [], JSON, 400, "at least one record"),
    (RECORDS, 5, JSON, 400, "got `int`"),
    (RECORDS, [EVENT, {"id": "2"}], BATCH, 400, "item 1 of the list: the event has no source"),
    (RECORDS, EVENT, BATCH, 400, "Expected `array`"),
    (RECORDS, {"id": "2"}, STRUCTURED, 400, "the event has no source and no specversion and no type"),
    (RECORDS, b"value=1", "application/x-www-form-urlencoded", 415, "not as application/x-www-form-urlencoded"),
    (RECORDS, b'{"value": 1}', "text/plain", 415, "not as text/plain"),
    (RECORDS, b'{"value": 1}', "", 415, "without a Content-Type"),
    (RECORDS, b"<a/>", "application/cloudevents+xml", 415, "not as application/cloudevents+xml"),
    (RECORDS + "?partition=x", {"value": 1}, JSON, 400, "partition is a number"),
    (RECORDS + "?partition=7", {"value": 1}, JSON, 404, "numbered from 0; there is no 7"),
    (RECORDS + "?partition=4294967296", {"value": 1}, JSON, 400, "partition is a number from 0 to 4294967295"),
    (RECORDS + "?partition=0&partition=1", {"value": 1}, JSON, 400, "twice"),
    (RECORDS + "?partition=0", {"value": 1, "partition": 1}, JSON, 400, "names partition 1"),
    (RECORDS, {"value": 1, "partition": -1}, JSON, 400, "-1 is no partition"),
    (RECORDS, {"value": 1, "partition": 1 << 40}, JSON, 400, "is no partition"),
    (RECORDS + "?durability=some", {"value": 1}, JSON, 400, "majority_synced, leader_synced"),
    (RECORDS + "?expected_end=0", {"value": 1}, JSON, 400, "needs the partition"),
    (RECORDS + "?what=0", {"value": 1}, JSON, 400, "no parameter 'what'"),
    ("/topics/none/records", {"value": 1}, JSON, 404, "no topic 'none'"),
    (RECORDS, {"value_text": "x" * (1 << 20) + "x"}, JSON, 400, "at most 1048576 are allowed"),
    ("/topics/t", {"value": 1}, JSON, 404, "there is no /topics/t"),
    ("/topics/t/events", {"value": 1}, JSON, 405, "does not take POST"),
]


@on_one_node()
async def test_what_is_refused_says_why_and_appends_nothing(client: WebClient) -> None:
    """A table: URL, body, type; status and what the message says. Every error has the same five fields."""
    await make_topic(client)
    for url, body, kind, status, says in REFUSED:
        told = await client.post(url, body, kind=kind)
        assert (status, True) == (told.status, says in told.json().get("message", "")), (url, body, kind, told)
        assert {"code", "reason", "message", "metadata", "retry"} == set(told.json())
    assert [] == await stored(client)


@on_one_node(body_bytes_max=1_000, records_per_publish_max=3)
async def test_a_body_over_the_limit_is_not_read_on(client: WebClient) -> None:
    """Whether its length was told or not; and so is a list that is too long."""
    await make_topic(client)
    pieces = [b"[" + b" " * 600, b" " * 600, b" " * 600, b"]"]
    for headers in ({}, {"content-length": "1801"}, {"content-length": "9" * 30}):
        async with client.open("POST", RECORDS, pieces, {"content-type": JSON} | headers) as opened:
            told = json.loads(b"".join([piece async for piece in opened]))
            assert (413, "RECORD_TOO_LARGE", "1000") == (opened.status, told["reason"], told["metadata"]["limit_bytes"])
            assert "close" == opened.headers["connection"]
            assert (0 if headers else 2) == opened.pieces_read
    told = await client.post(RECORDS, [{"value": 1}] * 4)
    assert (400, "3") == (told.status, told.json()["metadata"]["limit_records"])
    assert 200 == (await client.post(RECORDS, [{"value": 1}] * 3)).status


@on_one_node(body_wait_s_max=3.0)
async def test_a_body_that_does_not_come_is_not_waited_for(client: WebClient) -> None:
    """Its time is bounded; and a client that leaves in the middle of it leaves nothing behind."""
    told = await client.post(RECORDS, STALLED)
    assert (408, "close", True) == (told.status, told.headers["connection"], told.json()["retry"])
    asking = asyncio.create_task(client.post(RECORDS, STALLED))
    await asyncio.sleep(1)
    asking.cancel()
    await asyncio.wait([asking])


@on_nodes(3, seeds=(1, 2))
async def test_any_node_takes_them(cluster: SimCluster) -> None:
    """One that does not lead a partition forwards, and the receipt is the leader's."""
    clients = [WebClient(app_of(cluster.running[node])) for node in cluster.nodes]
    await make_topic(clients[0], 6)
    for client in clients:
        answer = await client.post(RECORDS, [{"value": n, "key": f"{n}"} for n in range(30)])
        receipts = answer.json()["receipts"]
        assert 30 == sum(receipt["count"] for receipt in receipts)
        assert all(receipt["replicas_synced"] >= 2 for receipt in receipts)
    assert 90 == len(await stored(clients[1]))


@on_nodes(3)
async def test_what_was_appended_nevertheless_is_told(cluster: SimCluster) -> None:
    """Of two partitions one is not there: the error is that one's, and names the other."""
    client = WebClient(app_of(cluster.running[1]))
    await make_topic(client)
    told = await client.post(RECORDS, [{"value": 1, "partition": 0}, {"value": 1, "partition": 9}])
    assert (404, "UNKNOWN_PARTITION", "0") == (
        told.status,
        told.json()["reason"],
        told.json()["metadata"]["appended_partitions"],
    )
    cluster.crash(2)
    cluster.crash(3)
    told = await client.post(RECORDS, {"value": 2})
    assert told.status in {503, 504}
    assert told.json()["retry"]
    assert "1" == told.headers.get("retry-after", "1")
