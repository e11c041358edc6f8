"""Server-sent events: as records come, on where they broke off, and no further ahead than their reader."""

import asyncio
import json
from dataclasses import dataclass

import pytest

from cluster.sim.cluster import SimCluster
from tests.broker.web.client import Opened, WebClient, app_of, on_nodes, on_one_node
from tests.broker.web.test_publishing import EVENT, RECORDS, STRUCTURED, make_topic

pytestmark = pytest.mark.slow
EVENTS = "/topics/t/events"


@dataclass(slots=True)
class Event:
    """One event as a browser would see it."""

    id: str = ""
    kind: str = "message"
    data: str = ""


class EventSource:
    """Parses a stream after the HTML standard: fields, comments, and an id that stays."""

    def __init__(self, opened: Opened) -> None:
        self.last_id = ""
        self.comments = 0
        self._opened = opened
        self._text = ""

    async def event(self) -> Event:
        """The next event that has data; EOFError at the end."""
        while True:
            while "\n\n" not in self._text:
                self._text += (await self._opened.piece()).decode()
            block, _, self._text = self._text.partition("\n\n")
            found = Event()
            for line in block.split("\n"):
                name, _, value = line.partition(": ")
                match name:
                    case "id":
                        self.last_id = value
                    case "event":
                        found.kind = value
                    case "data":
                        found.data += value
                    case _:
                        assert line.startswith(":"), line
                        self.comments += 1
            if found.data:
                found.id = self.last_id
                return found

    async def values(self, count: int) -> list[object]:
        """The values of the next records."""
        return [json.loads((await self.event()).data)["value"] for _ in range(count)]


@on_one_node()
async def test_records_come_as_they_are_published(client: WebClient) -> None:
    """From the latest on; the stream says first where that is, so that nothing is lost by leaving before a record."""
    await make_topic(client)
    await client.post(RECORDS, {"value": 0})
    async with client.open("GET", EVENTS) as opened:
        assert (200, "text/event-stream") == (opened.status, opened.headers["content-type"])
        assert b"id: 1\n\n" == await opened.piece()
    await client.post(RECORDS, {"value": 1})
    async with client.open("GET", EVENTS, headers={"last-event-id": "1"}) as opened:
        source = EventSource(opened)
        assert [1] == await source.values(1)
        for n in (2, 3):
            await client.post(RECORDS, {"value": n})
            event = await source.event()
            assert (str(n + 1), n, n) == (event.id, json.loads(event.data)["value"], json.loads(event.data)["offset"])


@on_one_node()
async def test_a_list_asked_for_as_events_is_the_same_stream(client: WebClient) -> None:
    """By Accept; with `until` or `limit` it ends, and says so, because an EventSource would come back."""
    await make_topic(client)
    await client.post(RECORDS, [{"value": n} for n in range(5)])
    for query, expected, end in (
        ("?from=earliest&until=latest", [0, 1, 2, 3, 4], "5"),
        ("?from=1&limit=2", [1, 2], "3"),
        ("?from=2&until=4", [2, 3], "4"),
        ("?from=5&until=5", [], "5"),
    ):
        async with client.open("GET", RECORDS + query, headers={"accept": "text/event-stream"}) as opened:
            source = EventSource(opened)
            assert expected == await source.values(len(expected)), query
            last = await source.event()
            assert ("end", end) == (last.kind, last.id)
            with pytest.raises(EOFError):
                await source.event()
    assert "text/event-stream" == (await client.ask("HEAD", EVENTS)).headers["content-type"]


@on_one_node(events_keepalive_s=5.0)
async def test_silence_is_broken(client: WebClient) -> None:
    """By comments, which no client shows; a record that comes meanwhile is not lost."""
    await make_topic(client)
    async with client.open("GET", EVENTS) as opened:
        source = EventSource(opened)
        began_s = asyncio.get_running_loop().time()
        assert b"id: 0\n\n" == await opened.piece()
        assert [b": \n\n"] * 3 == [await opened.piece() for _ in range(3)]
        assert 15 == pytest.approx(asyncio.get_running_loop().time() - began_s, abs=0.1)
        await client.post(RECORDS, {"value": 1})
        assert [1] == await source.values(1)


@on_one_node()
async def test_events_of_cloud_events(client: WebClient) -> None:
    """In the structured format if asked for; a record that is none stays a record."""
    await make_topic(client)
    await client.post(RECORDS, EVENT | {"data": {"n": 1}}, kind=STRUCTURED)
    await client.post(RECORDS, {"value": 2})
    async with client.open("GET", EVENTS + "?from=earliest&format=cloudevents") as opened:
        source = EventSource(opened)
        found = [json.loads((await source.event()).data) for _ in range(2)]
    assert EVENT | {"datacontenttype": "application/json", "data": {"n": 1}} == found[0]
    assert 2 == found[1]["value"]


@on_one_node()
async def test_a_wrong_place_to_go_on_is_refused(client: WebClient) -> None:
    """With a status, before the stream begins."""
    await make_topic(client)
    for last, says in (("x", "Last-Event-ID 'x'"), ("7", "offset 7 is not between"), ("0:7", "offset 7")):
        told = await client.get(EVENTS, {"last-event-id": last})
        assert (400, True) == (told.status, says in told.json()["message"]), told


@on_one_node()
async def test_a_topic_that_goes_ends_its_streams(client: WebClient) -> None:
    """With an error that says why."""
    await make_topic(client)
    async with client.open("GET", EVENTS) as opened:
        source = EventSource(opened)
        await client.call("TopicService/DeleteTopic", {"name": "t"})
        event = await source.event()
        assert ("error", "TOPIC_DELETED") == (event.kind, json.loads(event.data)["reason"])
        with pytest.raises(EOFError):
            await source.event()


@on_one_node()
async def test_a_node_that_stops_ends_its_streams(client: WebClient) -> None:
    """Orderly, so that a client comes back at once, somewhere else, with its last id."""
    await make_topic(client)
    async with client.open("GET", EVENTS) as opened:
        assert b"id: 0\n\n" == await opened.piece()
        client.closing.set()
        with pytest.raises(EOFError):
            await opened.piece()


@on_one_node()
async def test_nothing_is_read_ahead_of_a_slow_reader(client: WebClient) -> None:
    """Whoever takes nothing holds a few answers of the node at most, however much there is."""
    await make_topic(client)
    value = "x" * 500_000
    for _ in range(40):
        await client.post(RECORDS, {"value_text": value})
    async with client.open("GET", EVENTS + "?from=earliest") as opened:
        await asyncio.sleep(60)
        sizes = [len(await opened.piece()) for _ in range(10)]
        assert max(sizes) < 2_000_000
        source = EventSource(opened)
        position = int((await source.event()).id)
        assert position < 40, "it was read to the end before anybody took it"


@on_nodes(3, seeds=(1, 2, 3))
async def test_a_reader_goes_on_at_another_node(cluster: SimCluster) -> None:
    """Half-way its node dies: with the last id the next node continues every partition; all come once, in order."""
    await make_topic(WebClient(app_of(cluster.running[1])), 6)
    publisher = WebClient(app_of(cluster.running[2]))
    await publisher.post(RECORDS, [{"value": n, "key": str(n)} for n in range(60)])
    found: dict[int, list[int]] = {}

    async def take(source: EventSource, count: int) -> None:
        for _ in range(count):
            record = json.loads((await source.event()).data)
            found.setdefault(record["partition"], []).append(record["offset"])

    async with WebClient(app_of(cluster.running[1])).open("GET", EVENTS + "?from=earliest") as opened:
        source = EventSource(opened)
        await take(source, 25)
    cluster.crash(1)
    await asyncio.sleep(5)
    told = await publisher.post(RECORDS, [{"value": n, "key": str(n)} for n in range(60, 90)])
    assert 200 == told.status, told
    async with WebClient(app_of(cluster.running[3])).open(
        "GET", EVENTS + "?from=earliest", headers={"last-event-id": source.last_id}
    ) as opened:
        await take(EventSource(opened), 65)

    assert 90 == sum(len(offsets) for offsets in found.values())
    assert [list(range(len(offsets))) for offsets in found.values()] == list(found.values())


@on_nodes(3, seeds=(1, 2))
async def test_a_stream_outlives_the_leaders_behind_it(cluster: SimCluster) -> None:
    """The node that it talks to goes on with the next leaders."""
    client = WebClient(app_of(cluster.running[1]))
    await make_topic(client, 3)
    async with client.open("GET", EVENTS) as opened:
        source = EventSource(opened)
        await client.post(RECORDS, [{"value": n, "partition": n} for n in range(3)])
        before = await source.values(3)
        cluster.crash(3)
        await asyncio.sleep(5)
        await client.post(RECORDS, [{"value": n, "partition": n} for n in range(3)])
        assert [0, 1, 2] == sorted(before) == sorted(await source.values(3))
