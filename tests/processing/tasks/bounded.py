"""An app for tests on simulated clusters that is done at a time: 20 s after the simulator's clock begins."""

from cluster.processing.app import App
from cluster.processing.event import Event
from cluster.processing.handles import State
from cluster.processing.processor import ALL
from cluster.processing.windows import Window
from tests.processing.tasks.shop import Count, Sale

UNTIL = "2023-11-14T22:13:40Z"
UNTIL_S = 20.0


class Sold(Event):
    """All that was sold in ten seconds."""

    start_ns: int
    sales: int


app = App("bounded")
sales = app.topic("sales", Sale, key="till")


@app.processor(sales, to="counts", until=UNTIL)
def count(sale: Sale, seen: State[int]) -> Count:
    """Number the sales of each till."""
    seen.value += 1
    return Count(sale.till, sale.number, seen.value)


@app.processor(sales, key=ALL, until=UNTIL)
def everything(sale: Sale, seen: State[int]) -> None:
    """Number all sales: through a topic of its own, without windows or timers."""
    seen.value += sale.number


@app.window(sales, tumbling="10s", to="totals", until=UNTIL)
def totals(window: Window, sales: list[Sale]) -> Sold:
    """Ten seconds of each till."""
    return Sold(window.start_ns, len(sales))


@app.window(sales, key=ALL, tumbling="10s", to="all-totals", until=UNTIL)
def all_totals(window: Window, sales: list[Sale]) -> Sold:
    """Ten seconds of all of them, through a topic of its own."""
    return Sold(window.start_ns, len(sales))
