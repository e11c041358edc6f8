"""An app as a user writes it, at work in memory."""

from cluster.processing.app import App
from cluster.processing.context import Ctx
from cluster.processing.event import Event, Tombstone
from cluster.processing.handles import State
from cluster.processing.policies import dead_letter
from cluster.processing.processor import ALL


class Purchase(Event):
    """One purchase."""

    order: str
    customer: str
    quantity: int
    price: float


class Spend(Event):
    """What a customer has spent."""

    n: int = 0
    total: float = 0.0


class Alert(Event):
    """Somebody buys a lot."""

    customer: str
    total: float


app = App("retail")
purchases = app.topic("purchases", Purchase, key="customer")


@app.processor(purchases, to="alerts")
def fraud(p: Purchase, s: State[Spend], ctx: Ctx) -> Alert | None:
    """More than five purchases, and more than a thousand dollars, within ten minutes."""
    s.value.n += 1
    s.value.total += p.quantity * p.price
    if s.value.n == 1:
        ctx.timer("reset", after="10m")
    if s.value.n > 5 and s.value.total > 1000:
        return Alert(p.customer, s.value.total)
    return None


@fraud.timer("reset")
def reset(s: State[Spend]) -> None:
    """Ten minutes are over."""
    s.clear()


def test_an_alert_survives_a_crash() -> None:
    """The task dies in mid-work, and does not count twice; the timer forgets, ten minutes later."""
    for place in ("commit", "ship", "receipt"):
        with app.test() as t:
            t.send(purchases, *[Purchase(f"o{i}", "c1", 3, 99.0) for i in range(6)])
            t.crash(fraud, before=place)

            assert [1782.0] == [a.total for a in t.read("alerts", Alert)]
            assert Spend(6, 1782.0) == t.state(fraud, "c1")
            t.advance("10m")
            assert t.state(fraud, "c1") is None


def test_the_state_of_the_one_key_for_all() -> None:
    """It is asked for as it was named."""
    app = App("shop")
    purchases = app.topic("purchases", Purchase, key="customer")

    @app.processor(purchases, key=ALL)
    def count(p: Purchase, seen: State[list[str]]) -> None:
        seen.value.append(p.customer)

    with app.test() as t:
        t.send(purchases, Purchase("o1", "c1", 1, 1.0), Purchase("o2", "c2", 1, 1.0))
        assert {"c1", "c2"} == set(t.state(count, ALL))


def test_a_processor_deletes_the_key_of_its_record_or_another() -> None:
    """Whatever the topic's events are, and whatever field their keys are made of."""
    app = App("shop")
    purchases = app.topic("purchases", Purchase, key="customer")
    newest = app.topic("newest", Purchase, key="order")

    @app.processor(purchases, to=newest, on_error=dead_letter("bad", retries=0))
    def keep(p: Purchase, ctx: Ctx) -> Purchase | Tombstone:
        if p.quantity == 0:
            ctx.emit("newest", Tombstone(), key=p.order)
        return p if p.quantity else Tombstone()

    with app.test() as t:
        t.send(purchases, Purchase("o1", "c1", 3, 99.0), Purchase("o1", "c1", 0, 0.0))
        t.send(purchases, b'{"order": "o2", "customer": "c2", "quantity": 0, "price": 0}')
        expected = [(b"o1", False), (b"o1", True), (b"c1", True)]
        assert expected == [(record.key, record.value == b"") for record in t.records(newest)]
        assert [Purchase("o1", "c1", 3, 99.0), None, None] == t.read(newest)
        (letter,) = t.records("bad")
        assert any(b"has no key to delete" in header.value for header in letter.headers)
