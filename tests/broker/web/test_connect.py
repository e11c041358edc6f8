"""Every public method as JSON, after the Connect protocol."""

import base64

import pytest
from google.rpc import error_details_pb2

from cluster.broker.web.failures import STATUSES, code_of
from cluster.errors import REASONS
from cluster.sim.cluster import SimCluster
from tests.broker.web.client import WebClient, app_of, on_nodes, on_one_node

pytestmark = pytest.mark.slow


@on_one_node()
async def test_a_topic_from_its_making_to_its_end(client: WebClient) -> None:
    """Proto3 JSON both ways: lowerCamelCase, 64-bit numbers as text, bytes as base64; both spellings are taken."""
    made = await client.call("TopicService/CreateTopic", {"name": "orders", "partitions": 2, "if_absent": True})
    assert (200, "application/json") == (made.status, made.headers["content-type"])
    topic = made.json()["topic"]
    assert ("orders", 16, 2) == (topic["name"], len(base64.b64decode(topic["id"])), len(topic["partitions"]))
    again = await client.call("TopicService/CreateTopic", {"name": "orders", "partitions": 2, "ifAbsent": True})
    assert topic["id"] == again.json()["topic"]["id"]
    published = await client.call("StreamService/Publish", {"topic": "orders", "records": [{"value": "aGk="}]})
    assert ["0"] == [receipt.get("offset", "0") for receipt in published.json()["receipts"]]
    offsets = await client.call("StreamService/GetOffsets", {"topic": "orders"})
    assert 1 == sum(int(item.get("end", 0)) for item in offsets.json()["partitions"])
    assert {} == (await client.call("TopicService/DeleteTopic", {"name": "orders"})).json()
    assert {} == (await client.call("TopicService/ListTopics", {})).json()


@on_one_node()
async def test_an_error_has_the_details_that_grpc_has(client: WebClient) -> None:
    """Code and status as Connect maps them, and ErrorInfo, encoded without padding and once more to read."""
    told = await client.call("TopicService/GetTopic", {"name": "none"})
    assert 404 == told.status
    body = told.json()
    assert ("not_found", "there is no topic 'none'") == (body["code"], body["message"])
    detail = body["details"][0]
    assert "google.rpc.ErrorInfo" == detail["type"]
    value = detail["value"]
    assert "=" not in value
    info = error_details_pb2.ErrorInfo.FromString(base64.b64decode(value + "=" * (-len(value) % 4)))
    assert ("UNKNOWN_TOPIC", "riverrun", {"topic": "none"}) == (info.reason, info.domain, dict(info.metadata))
    assert "UNKNOWN_TOPIC" == detail["debug"]["reason"]


WRONG = [
    ("TopicService/GetTopic", b"{", {}, 400, "line 1, column 2"),
    ("TopicService/GetTopic", b'{\n  "name": nope}', {}, 400, "line 2, column 15"),
    ("TopicService/GetTopic", b"[]", {}, 400, "Expected `object`"),
    ("TopicService/GetTopic", b"", {}, 400, "ends too early"),
    ("TopicService/GetTopic", b"{}\xff", {}, 400, "not UTF-8"),
    ("TopicService/GetTopic", b'{"nom": 1}', {}, 400, "nom"),
    ("TopicService/CreateTopic", b'{"name": "a", "partitions": -1}', {}, 400, "partitions"),
    ("StreamService/Publish", b'{"topic": "a", "records": [{"value": 5}]}', {}, 400, "value"),
    ("TopicService/GetTopic", b"{}", {"content-type": "application/proto"}, 415, "application/json"),
    ("TopicService/GetTopic", b"{}", {"content-type": "text/plain"}, 415, "application/json"),
    ("TopicService/GetTopic", b"{}", {"content-encoding": "gzip"}, 415, "gzip"),
    ("TopicService/GetTopic", b"{}", {"connect-protocol-version": "2"}, 400, "version 1"),
    ("TopicService/GetTopic", b"{}", {"connect-timeout-ms": "soon"}, 400, "at most 10 digits"),
    ("TopicService/Nothing", b"{}", {}, 404, "no method"),
    ("StreamService/Read", b"{}", {}, 501, "streams"),
]


@on_one_node()
async def test_wrong_calls_say_what_is_wrong(client: WebClient) -> None:
    """A table: method, body, headers; status and what the message names."""
    for method, body, headers, status, says in WRONG:
        told = await client.call(method, body, {"content-type": "application/json"} | headers)
        assert (status, True) == (told.status, says in told.json()["message"]), (method, body, told)
        assert {"code", "message", "details"} == set(told.json())


@on_nodes(3)
async def test_the_callers_time_is_kept(cluster: SimCluster) -> None:
    """Without a majority a publish is not acknowledged: the answer comes in time and says that it is unknown."""
    client = WebClient(app_of(cluster.running[1]))
    made = await client.call("TopicService/CreateTopic", {"name": "t"})
    leader = made.json()["topic"]["partitions"][0]["leader"]
    client = WebClient(app_of(cluster.running[leader]))
    for node in cluster.nodes:
        if node != leader:
            cluster.cut(leader, node)
    began_s = cluster.loop.time()
    request = {"topic": "t", "records": [{"value": "aGk="}]}
    told = await client.call("StreamService/Publish", request, {"connect-timeout-ms": "300"})
    assert (504, "deadline_exceeded") == (told.status, told.json()["code"])
    assert "may still be" in told.json()["message"]
    assert 0.3 == pytest.approx(cluster.loop.time() - began_s, abs=0.05)


def test_every_error_has_a_status() -> None:
    """A code without one would be a failure of the failure."""
    assert [] == [cls for cls in REASONS.values() if cls.code not in STATUSES]
    assert "canceled" == code_of(REASONS["CLOSED"]())
