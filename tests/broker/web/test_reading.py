"""Lists of records: where they begin, where they end, and that one continues the other."""

import pytest

from cluster.sim.cluster import SimCluster
from tests.broker.web.client import WebClient, app_of, on_nodes, on_one_node
from tests.broker.web.test_publishing import RECORDS, make_topic

pytestmark = pytest.mark.slow


async def values(client: WebClient, query: str) -> list[object]:
    """The values of one list."""
    return [record["value"] for record in (await client.get(RECORDS + query)).json()["records"]]


async def publish(client: WebClient, *numbers: int) -> None:
    """Each in a batch of its own, in the year that it names."""
    for n in numbers:
        await client.post(RECORDS, {"value": n, "timestamp": f"{n}-01-01T00:00:00Z"})


@on_one_node()
async def test_where_a_list_begins_and_ends(client: WebClient) -> None:
    """By offset, by time, by name; bounded by a limit, and `next` is the position behind it."""
    await make_topic(client)
    await publish(client, 2001, 2002, 2003, 2004, 2005)
    everything = [2001, 2002, 2003, 2004, 2005]
    for query, expected in (
        ("", everything),
        ("?from=earliest&until=latest", everything),
        ("?from=2", everything[2:]),
        ("?from=1&until=3", everything[1:3]),
        ("?from=2002-06-01T00:00:00Z", everything[2:]),
        ("?from=2002-06-01T00:00:00Z&until=2004-06-01T00:00:00%2B01:00", everything[2:4]),
        ("?from=latest", []),
        ("?from=5", []),
        ("?from=4&until=2", []),
        ("?from=2099-01-01T00:00:00Z", []),
        ("?limit=2&from=1", everything[1:3]),
    ):
        assert expected == await values(client, query), query
    limited = (await client.get(RECORDS + "?limit=2")).json()
    assert ("2", False) == (limited["next"], limited["finished"])
    rest = (await client.get(f"{RECORDS}?from={limited['next']}")).json()
    assert (everything[2:], "5", True) == ([r["value"] for r in rest["records"]], rest["next"], rest["finished"])
    assert [2, 3, 4] == [record["offset"] for record in rest["records"]]


WRONG = [
    ("?from=6", 400, "OFFSET_OUT_OF_RANGE", "offset 6 is not between"),
    ("?from=yesterday", 400, "INVALID_REQUEST", "'yesterday' is not earliest, latest, an offset"),
    ("?from=2026-13-01T00:00:00Z", 400, "INVALID_REQUEST", "is no time that there is"),
    ("?from=99999999999999999999", 400, "INVALID_REQUEST", "from '99999999999999999999' is not"),
    ("?until=0:x", 400, "INVALID_REQUEST", "until '0:x'"),
    ("?limit=0", 400, "INVALID_REQUEST", "at least 1"),
    ("?limit=-1", 400, "INVALID_REQUEST", "limit is a number"),
    ("?partition=3", 404, "UNKNOWN_PARTITION", "there is no 3"),
    ("?format=xml", 400, "INVALID_REQUEST", "records, cloudevents"),
    ("?offset=3", 400, "INVALID_REQUEST", "no parameter 'offset'"),
]


@on_one_node()
async def test_wrong_reads_are_told_what_is_wrong(client: WebClient) -> None:
    """The same for a list and for a stream of events, which then does not begin."""
    await make_topic(client)
    await publish(client, 2001)
    for query, status, reason, says in WRONG:
        for url in (RECORDS, "/topics/t/events"):
            told = await client.get(url + query)
            assert (status, reason) == (told.status, told.json()["reason"]), (url, query, told)
            assert says in told.json()["message"]
    assert 404 == (await client.get("/topics/none/records")).status


@on_one_node(records_per_read_max=7, read_bytes_max=25)
async def test_many_partitions_are_read_through_in_lists(client: WebClient) -> None:
    """Each answer is small; `next` leads through all partitions, and nothing is missed or comes twice."""
    await make_topic(client, 3)
    await client.post(RECORDS, [{"value": n, "key": str(n)} for n in range(50)])
    found: list[int] = []
    position = "earliest"
    lists = 0
    while True:
        listed = (await client.get(f"{RECORDS}?from={position}")).json()
        assert len(listed["records"]) <= 7
        found += [record["value"] for record in listed["records"]]
        lists += 1
        position = listed["next"]
        if listed["finished"]:
            break
    assert list(range(50)) == sorted(found)
    assert lists > 7
    await client.post(RECORDS, {"value": 50})
    assert [50] == await values(client, f"?from={position}")


@on_one_node(records_per_read_max=3)
async def test_a_time_is_kept_from_list_to_list(client: WebClient) -> None:
    """Partitions that a list did not reach continue at the time, not at their beginning."""
    await make_topic(client, 4)
    for partition in range(4):
        for year in (2001, 2003):
            record = {"value": year, "partition": partition, "timestamp": f"{year}-01-01T00:00:00Z"}
            await client.post(RECORDS, record)
    first = (await client.get(RECORDS + "?from=2002-01-01T00:00:00Z")).json()
    second = (await client.get(f"{RECORDS}?from={first['next']}")).json()
    assert [2003] * 4 == [record["value"] for record in first["records"] + second["records"]]


@on_nodes(3)
async def test_a_partition_without_a_leader_is_not_waited_for_for_ever(cluster: SimCluster) -> None:
    """The answer says that it took too long."""
    client = WebClient(app_of(cluster.running[1], read_wait_s_max=2.0))
    await make_topic(client)
    cluster.crash(2)
    cluster.crash(3)
    told = await client.get(RECORDS)
    assert (504, True) == (told.status, told.json()["retry"])
