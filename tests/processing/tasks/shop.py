"""A small app for tests on clusters: what a record does is in the record."""

from typing import Any

from cluster.processing.app import App
from cluster.processing.event import Event
from cluster.processing.handles import State
from cluster.processing.policies import OnError, dead_letter, skip, stop
from cluster.processing.windows import Window


class Sale(Event):
    """So much of something, at a till. `bad`: the first code cannot handle it."""

    till: str
    number: int
    second: int = 0
    bad: bool = False


class Count(Event):
    """The how many-th of its till it was."""

    till: str
    number: int
    count: int


class Total(Event):
    """What a till sold in ten seconds."""

    till: str
    start: int
    sales: int


PARK = dead_letter(retries=1, park_key=True)


def make(*, mended: bool, seen_kind: Any = int, lenient: bool = False, on_error: OnError = PARK) -> App:
    """The app, before and after somebody has looked at what went wrong. `seen_kind`: of what `strict` remembers.

    `lenient`: what `strict` cannot handle it puts aside. `on_error`: what `count` does with that.
    """
    app = App("shop")
    sales = app.topic("sales", Sale, key="till")

    @app.processor(sales, to="counts", on_error=on_error)
    def count(sale: Sale, seen: State[int]) -> Count:
        """Number the sales of each till."""
        if sale.bad and not mended:
            raise ValueError(f"cannot handle {sale.number}")
        seen.value += 1
        return Count(sale.till, sale.number, seen.value)

    @app.processor(sales, to="strict-counts", on_error=dead_letter(retries=0) if lenient else stop())
    def strict(sale: Sale, seen: State[seen_kind]) -> Count:  # type: ignore[valid-type]
        """The same, and it stops at what it cannot handle."""
        if sale.bad and not mended:
            raise ValueError(f"cannot handle {sale.number}")
        seen.value += 1
        return Count(sale.till, sale.number, seen.value)

    @app.window(sales, tumbling="10s", to="totals")
    def totals(window: Window, sales: list[Sale]) -> Total:
        """Ten seconds of each till."""
        return Total(sales[0].till, int(window.start.timestamp()), len(sales))

    return app


app = make(mended=False)
mended = make(mended=True)
lenient = make(mended=False, lenient=True)
retyped = make(mended=True, seen_kind=list[str])
skipping = make(mended=False, on_error=skip())
stopping = make(mended=False, on_error=stop())
