"""An app whose code depends on something outside that is busy now and then, and notes when it was asked."""

import asyncio

from cluster.processing.app import App
from cluster.processing.handles import State
from cluster.processing.policies import OnError, dead_letter, stop
from tests.processing.tasks.shop import Count, Sale


class Outside:
    """`busy`: for bad sales. `asked_s`: the times at which they were tried."""

    busy = True
    asked_s: list[float]


outside = Outside()


def make(name: str, on_error: OnError) -> App:
    """The app."""
    app = App(name)
    sales = app.topic("sales", Sale, key="till")

    @app.processor(sales, to="counts", on_error=on_error)
    def count(sale: Sale, seen: State[int]) -> Count:
        """Number the sales of each till."""
        if sale.bad:
            outside.asked_s.append(asyncio.get_running_loop().time())
            if outside.busy:
                raise TimeoutError("it is busy")
        seen.value += 1
        return Count(sale.till, sale.number, seen.value)

    return app


app = make("flaky", dead_letter(retries=5, backoff="4s", backoff_max="100s"))
strict = make("strict", stop())
