"""A trace goes through an app: from the record to what comes of it, and nowhere else."""

from cluster import App, Event, State, Window

app = App("shop")
PARENT, STATE = b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", b"vendor=1"


class Sale(Event):
    """A sale at a till."""

    till: str
    usd: float


sales = app.topic("sales", Sale, key="till")
doubled = app.topic("doubled", Sale, key="till")


@app.processor(sales, to=doubled)
def double(sale: Sale, seen: State[int]) -> list[Sale]:
    """Two outputs."""
    seen.value += 1
    return [sale, sale]


@app.processor(doubled, to="labels")
async def label(sale: Sale) -> str:
    """Behind another one, and asynchronous."""
    return sale.till


@app.window(sales, tumbling="1m", to="totals")
def total(window: Window, sales: list[Sale]) -> float:
    """What comes of many."""
    del window
    return sum(sale.usd for sale in sales)


def test_outputs_carry_the_trace_of_their_record() -> None:
    """Through two processors, with its state and none of its other headers; what had none gets none, nor do windows."""
    with app.test() as t:
        t.send(sales, Sale(till="a", usd=1.0), headers={"traceparent": PARENT, "tracestate": STATE, "via": b"phone"})
        t.send(sales, Sale(till="b", usd=2.0))
        t.finish()
        told = {
            (record.value, tuple((h.name, h.value) for h in record.headers if not h.name.startswith("rr-")))
            for record in t.records("labels")
        }
        traced = (("traceparent", PARENT), ("tracestate", STATE))
        assert {(b'"a"', traced), (b'"b"', ())} == told
        assert 4 == len(t.records("labels"))
        names = {header.name for record in t.records("totals") for header in record.headers}
        assert t.records("totals")
        assert "traceparent" not in names
