"""What a request says of its trace is in its records, and comes out again."""

import pytest

from tests.broker.web.client import WebClient, on_one_node
from tests.broker.web.test_publishing import EVENT, RECORDS, STRUCTURED, make_topic

pytestmark = pytest.mark.slow
PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
OTHER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"


async def last(client: WebClient, query: str = "") -> dict[str, object]:
    """The newest record."""
    return (await client.get(f"{RECORDS}{query}")).json()["records"][-1]


@on_one_node()
async def test_a_requests_trace_is_its_records(client: WebClient) -> None:
    """Of those that have none of their own; what is no trace is none. The same for Publish as a method."""
    await make_topic(client)
    sent = {"traceparent": PARENT, "tracestate": "a=1"}
    await client.post(RECORDS, {"value_text": "one"}, sent)
    assert sent == (await last(client))["headers"]
    await client.post(RECORDS, {"value_text": "two", "headers": {"traceparent": OTHER}}, sent)
    assert {"traceparent": OTHER} == (await last(client))["headers"]
    await client.post(RECORDS, {"value_text": "three"}, {"traceparent": "nonsense", "tracestate": "a=1"})
    assert "headers" not in await last(client)
    publish = {"topic": "t", "records": [{"value": "b25l"}]}
    assert 200 == (await client.ask("POST", "/riverrun.v1.StreamService/Publish", publish, sent)).status
    assert sent == (await last(client))["headers"]


@on_one_node()
async def test_an_events_trace_is_its_records_and_the_other_way_round(client: WebClient) -> None:
    """The extension is the trace, whatever its request is in; an event that came with none is in its request's."""
    await make_topic(client)
    await client.ask("POST", RECORDS, EVENT | {"traceparent": OTHER}, {"traceparent": PARENT}, kind=STRUCTURED)
    record = await last(client)
    assert {"traceparent": OTHER, "ce_traceparent": OTHER}.items() <= record["headers"].items()
    assert OTHER == (await last(client, "?format=cloudevents"))["traceparent"]
    await client.ask("POST", RECORDS, EVENT, {"traceparent": PARENT}, kind=STRUCTURED)
    record = await last(client)
    assert (PARENT, False) == (record["headers"]["traceparent"], "ce_traceparent" in record["headers"])
    assert PARENT == (await last(client, "?format=cloudevents"))["traceparent"]
