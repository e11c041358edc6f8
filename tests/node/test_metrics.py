"""What a scraper is told: every metric of the table, no other one, and numbers that are right."""

import asyncio
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from cluster.meters import Histogram, Meters
from cluster.node import Node
from cluster.node.metrics import METRICS
from cluster.node.metrics.lags import Bounded
from cluster.sim.cluster import SimCluster
from cluster.types import NodeId, PartitionId, Term, TopicId
from tests.broker.web.client import WebClient, app_of, on_nodes

README = Path(__file__).parents[2] / "cluster" / "README.md"


def scraped(node: Node) -> dict[str, float]:
    """Samples by their names with labels."""
    _, page = node.seeing.metrics("")
    return {
        f"{sample.name}{{{','.join(f'{name}={value}' for name, value in sorted(sample.labels.items()))}}}": sample.value
        for family in text_string_to_metric_families(page.decode())
        for sample in family.samples
        if not sample.name.endswith("_bucket")
    }


async def make_orders(cluster: SimCluster) -> None:
    """A topic with 30 records in three partitions, and a group that has read 20 of them."""
    async with cluster.client("shop") as client:
        await client.create_topic("orders", partitions=3)
        for number in range(30):
            await client.publish("orders", b"one order", partition=number % 3)
        async with client.subscribe("orders", group="billing", start="earliest") as records:
            taken = 0
            async for _ in records:
                taken += 1
                if taken == 20:
                    break
    await asyncio.sleep(1)


@pytest.mark.slow
@on_nodes(3)
async def test_what_was_published_and_read_is_counted_where_it_was_done(cluster: SimCluster) -> None:
    """Of all nodes together: each record once, each partition's leader once; and the lag is what is left to read."""
    await make_orders(cluster)
    for node in cluster.running.values():
        scraped(node)  # somebody asks: from now on lag is found out
    await asyncio.sleep(1)
    told = [scraped(node) for node in cluster.running.values()]

    def of_all(name: str) -> float:
        return sum(samples.get(name, 0) for samples in told)

    assert 30 == of_all("riverrun_published_records_total{topic=orders}")
    assert 30 == of_all("riverrun_publish_latency_seconds_count{}")
    assert 20 <= of_all("riverrun_fetched_records_total{topic=orders}") <= 30
    partitions = told[0]["riverrun_partitions{}"]
    assert {partitions} == {samples["riverrun_partitions{}"] for samples in told}
    assert partitions == of_all("riverrun_partitions_led{}") <= of_all("riverrun_leader_changes_total{}")
    assert 0 == of_all("riverrun_under_replicated_partitions{}") == of_all("riverrun_partitions_without_leader{}")
    assert 1 == of_all("riverrun_controller_leader{}")
    assert 10 == of_all("riverrun_group_lag_records{group=billing,topic=orders}")
    assert 0 < of_all("riverrun_group_lag_seconds{group=billing,topic=orders}") < 60
    assert 0 < of_all("riverrun_fsync_seconds_count{}")
    assert 9 * 30 < of_all("riverrun_log_written_bytes_total{}")


@pytest.mark.slow
@on_nodes(1)
async def test_leaders_of_what_is_not_known_make_up_for_none(cluster: SimCluster) -> None:
    """A partition without a leader is counted, though others are led of which this node has not heard."""
    async with cluster.client("shop") as client:
        topic = (await client.create_topic("orders", partitions=2)).id
    leaders = cluster.running[1].broker.leaders
    leaders.note(PartitionId(TopicId(b"elsewhere".ljust(16)), 0), NodeId(1), Term(1))
    leaders.resigned(PartitionId(topic, 0), NodeId(1))
    told = scraped(cluster.running[1])
    assert (2, 1) == (told["riverrun_partitions{}"], told["riverrun_partitions_without_leader{}"])


@pytest.mark.slow
@on_nodes(3)
async def test_a_node_that_is_away_is_seen_by_the_others(cluster: SimCluster) -> None:
    """Its link, what it lacks, and, when it is back, what it was sent to catch up."""
    await make_orders(cluster)
    cluster.kill(3)
    async with cluster.client("shop") as client:
        for _ in range(10):
            await client.publish("orders", b"while it was away")
    await asyncio.sleep(6)
    told = [scraped(cluster.running[node]) for node in (1, 2)]
    assert [0, 0] == [samples["riverrun_peer_up{peer=3}"] for samples in told]
    assert [1, 1] == [samples["riverrun_nodes{state=dead}"] for samples in told]
    behind, led = (
        sum(samples[f"riverrun_{name}{{}}"] for samples in told)
        for name in ("under_replicated_partitions", "partitions_led")
    )
    assert behind == led > 0
    await cluster.start(3)
    await asyncio.sleep(12)
    for node in (1, 2):
        scraped(cluster.running[node])
    told = [scraped(cluster.running[node]) for node in (1, 2, 3)]
    assert 0 == sum(samples["riverrun_under_replicated_partitions{}"] for samples in told)
    assert 0 < sum(samples["riverrun_catch_up_bytes_total{}"] for samples in told)


@pytest.mark.slow
@on_nodes(1)
async def test_a_topic_that_is_gone_takes_no_place_among_the_metrics(cluster: SimCluster) -> None:
    """Not even if the last receipt was counted after it had been deleted; and one that is named "other" is counted."""
    meters = cluster.running[1].meters
    async with cluster.client("shop") as client:
        for name in ("other", "gone"):
            made = await client.create_topic(name)
            await client.publish(name, b"one")
        await client.delete_topic("gone")
    meters.traffic(TopicId(made.id)).published(3, 1)
    told = scraped(cluster.running[1])
    assert TopicId(made.id) not in meters.topics
    assert 1 == told["riverrun_published_records_total{topic=other}"]
    assert "riverrun_published_records_total{topic=gone}" not in told


@pytest.mark.slow
@on_nodes(1)
async def test_the_table_is_what_a_node_exports(cluster: SimCluster) -> None:
    """Every family, with its kind and its labels, and none that the table does not know; over HTTP in either format."""
    await make_orders(cluster)
    client = WebClient(app_of(cluster.running[1]))
    plain = await client.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain")
    kinds = dict(re.findall(r"^# TYPE (riverrun_\w+) (\w+)$", plain.body.decode(), re.MULTILINE))
    assert {metric.name: metric.kind.value for metric in METRICS} == kinds
    known = {metric.name: set(metric.labels) for metric in METRICS}
    for name, labels in re.findall(
        r"^(riverrun_\w+?)(?:_bucket|_count|_sum)?(?:\{(.*)\})? ", plain.body.decode(), re.MULTILINE
    ):
        assert set(re.findall(r"(\w+)=", labels)) - {"le"} == known[name], name
    assert b"process_cpu_seconds_total" in plain.body
    assert b"python_gc_collections_total" in plain.body
    other = await client.get("/metrics", {"accept": "application/openmetrics-text; version=1.0.0"})
    assert other.headers["content-type"].startswith("application/openmetrics-text")
    assert other.body.endswith(b"# EOF\n")


def test_the_page_about_them_names_each_of_them() -> None:
    """And nothing that is not there any more."""
    named = set(re.findall(r"`(riverrun_[a-z_]+)[`{]", README.read_text()))
    assert {metric.name for metric in METRICS} == named


def test_every_metric_is_named_as_prometheus_wants_it() -> None:
    """Counters end in _total and nothing else does; each says what it is."""
    for metric in METRICS:
        assert (metric.kind == "counter") == metric.name.endswith("_total"), metric.name
        assert metric.help.endswith("."), metric.name


def test_topics_beyond_the_maximum_are_counted_together() -> None:
    """So the number of time series is bounded; and a counter never falls, whatever is deleted."""
    meters = Meters(topics_max=2)
    first, second, third, fourth = (TopicId(bytes([number]) * 16) for number in range(4))
    for topic in (first, second, third, fourth, third):
        meters.traffic(topic).published(10, 1)
    assert (2, 30) == (len(meters.topics), meters.other.published_bytes)
    meters.forget(first)
    meters.traffic(fourth).published(10, 1)
    assert 30 == meters.other.published_bytes
    assert 10 == meters.topics[fourth].published_bytes
    bounded = Bounded(1)
    assert ["a", "other", "a"] == [bounded.name(name) for name in ("a", "b", "a")]


def test_buckets_count_what_is_at_most_their_bound() -> None:
    """As Prometheus' `le` has it."""
    times = Histogram((0.1, 1.0))
    for value in (0.0, 0.1, 0.11, 1.0, 1.1):
        times.observe(value)
    assert [2, 2, 1] == times.counts
