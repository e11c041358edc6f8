"""A node's metrics, as Prometheus scrapes them.

`table` lists them all, `collecting` reads them off the node's parts, `lags` finds out at an interval what costs
questions, `exposition` writes them down for the scraper.
"""

from cluster.node.metrics.lags import Lags
from cluster.node.metrics.table import METRICS

__all__ = ["METRICS", "Lags"]
