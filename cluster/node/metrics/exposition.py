"""What a scraper is given: a node's samples, and what prometheus_client knows of the process and of Python's memory."""

from collections.abc import Iterator
from itertools import accumulate

from prometheus_client import GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector, CollectorRegistry

from cluster.meters import Histogram
from cluster.node.metrics import table
from cluster.node.metrics.collecting import Collecting
from cluster.node.metrics.table import METRICS, Kind


class Exposition:
    """Of one node. The process's own metrics (`process_*`, `python_*`) are there once, whoever else is in it."""

    def __init__(self, collecting: Collecting) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_OfNode(collecting))
        ProcessCollector(registry=self._registry)
        PlatformCollector(registry=self._registry)
        GCCollector(registry=self._registry)

    def page(self, accept: str) -> tuple[str, bytes]:
        """Content type and text, as the scraper's `Accept` has it: Prometheus' own format, or OpenMetrics."""
        encode, content_type = choose_encoder(accept)
        return content_type, encode(self._registry)


class _OfNode(Collector):
    """See prometheus_client."""

    def __init__(self, collecting: Collecting) -> None:
        self._collecting = collecting

    def describe(self) -> list[Metric]:
        """Nothing is asked of the node before somebody scrapes."""
        return []

    def collect(self) -> Iterator[Metric]:
        """In the order of the table."""
        samples = self._collecting.collect()
        for metric in METRICS:
            family = _family(metric)
            for labels, value in samples[metric.name].items():
                if isinstance(value, Histogram):
                    assert isinstance(family, HistogramMetricFamily)
                    counts = list(accumulate(value.counts))
                    bounds = [*(f"{bound:g}" for bound in value.bounds), "+Inf"]
                    family.add_metric(labels, list(zip(bounds, counts, strict=True)), value.sum)
                else:
                    assert not isinstance(family, HistogramMetricFamily)
                    family.add_metric(labels, float(value))
            yield family


def _family(metric: table.Metric) -> CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily:
    match metric.kind:
        case Kind.COUNTER:
            return CounterMetricFamily(metric.name, metric.help, labels=metric.labels)
        case Kind.GAUGE:
            return GaugeMetricFamily(metric.name, metric.help, labels=metric.labels)
        case Kind.HISTOGRAM:
            return HistogramMetricFamily(metric.name, metric.help, labels=metric.labels)
