"""State of a real node's tasks: through kills, and from one kind of file into the other."""

import itertools
from collections.abc import Callable

import pytest

from cluster import connect
from cluster.cli.dev import wait_ready
from cluster.cli.local import LocalCluster

pytestmark = [pytest.mark.processes, pytest.mark.slow, pytest.mark.timeout(120)]
APP = b"""
from cluster import App, Event, State

app = App("sums")

class Sale(Event):
    who: str
    n: int

sales = app.topic("sales", Sale, key="who")

@app.processor(sales, to="totals")
def total(sale: Sale, sum: State[int]) -> int:
    sum.value += sale.n
    return sum.value
"""


async def test_state_goes_on_through_kills_and_choices(make_cluster: Callable[[int], LocalCluster]) -> None:
    """Sums are right to the last, whatever the node keeps them in, and wherever it was killed."""
    pytest.importorskip("lmdb", reason="make extras")
    cluster = make_cluster(1)
    plain = cluster.config_path(1).read_text()
    sent: list[int] = []
    for store, file in (("sqlite", "state.db"), ("lmdb", "state.mdb"), ("lmdb", "state.mdb"), ("sqlite", "state.db")):
        cluster.config_path(1).write_text(f'{plain}\n[processing]\nstore = "{store}"\nflush_interval_s = 0.05\n')
        cluster.start(1)
        await wait_ready(cluster)
        async with connect(cluster.address(1)) as client:
            if not sent:
                await client.deploy_app(APP, file_name="sums.py", create_topics=True, partitions=1)
            for n in range(20):
                sent.append(n)
                await client.publish("sales", b'{"who": "a", "n": %d}' % n, key=b"a")
            found: list[int] = []
            async for record in client.read("totals"):
                found.append(int(record.value))
                if len(found) == len(sent):
                    break
        assert list(itertools.accumulate(sent)) == found
        assert {file} == {path.name for path in cluster.data_dir.rglob("state.*db")}
        cluster.kill(1)
