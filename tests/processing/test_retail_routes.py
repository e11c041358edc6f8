"""The retail example's route file: its tests, and that the demo's comparison sees whatever is not as it has to be."""

import asyncio
import contextlib
import json
import sqlite3
import urllib.error
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal

import pytest

from cluster.connectors.contract import Position
from cluster.connectors.http.sink import TAKEN
from cluster.connectors.registry import Registry
from cluster.processing.outside.own_secrets import opened
from cluster.processing.routes.as_app import app_of
from cluster.processing.routes.reading import read_routes
from cluster.processing.routes.route_file import RouteFile, ToSink
from cluster.processing.routes.testing import run_tests
from examples.retail import truth
from examples.retail.deliveries import ROUTES, Destinations, destinations
from examples.retail.purchases import Row

pytestmark = pytest.mark.slow
ROWS = [
    Row(f"1997-03-0{day}", customer, "cd-01-a", 1, usd)
    for day in range(1, 8)
    for customer, usd in (("00001", "410.10" if day == 1 else "9.50"), ("00002", "50.00"), ("00003", "150.00"))
]
"""Two alerts, seven days."""


def routes() -> RouteFile:
    """What the file says."""
    found, problems = read_routes(ROUTES.read_text(), ROUTES.name, Registry())
    assert [] == problems
    assert found is not None
    return found


@asynccontextmanager
async def delivered() -> AsyncIterator[Destinations]:
    """All that has to be delivered for the rows is at the destinations, by the sinks that the file names."""
    file = routes()
    with destinations() as places, app_of(file).test() as t:
        for customer, alerts in truth.alerts(ROWS).items():
            for usd in alerts:
                t.send("alerts", {"customer_id": customer, "amount_usd": str(usd)}, key=customer)
        for day, (purchases, quantity, usd) in truth.days(ROWS).items():
            sales = {"day": day, "purchases": purchases, "quantity": quantity, "amount_usd": str(usd)}
            t.send("daily-sales", sales, key="all")
        for route in file.routes:
            for one in route.destinations:
                assert isinstance(one, ToSink)
                batch = t.delivered(f"{route.name}.{one.name}")
                for _ in range(2 if one.name == "webhook" else 1):  # it is told at least once
                    TAKEN.clear()  # by another process, which knows nothing of what this one has taken
                    sink = opened(one.options)[0].open("retail")
                    await sink.write(batch, Position(lane=f"{route.name}/0", begin=0, end=len(batch)))
                    await sink.settle()
                    await sink.close()
        yield places


def faults(places: Destinations) -> list[list[str]]:
    """Of SQLite twice, files, webhook."""
    return [list(found.faults) for found in places.findings(ROWS, ROWS)]


def test_the_tests_in_the_route_file_pass() -> None:
    """As `riverrun route test` says; each route has one."""
    outcomes = run_tests(routes())

    assert ["alerts", "daily-sales"] == [outcome.route for outcome in outcomes]
    assert [] == [fault for outcome in outcomes for fault in outcome.faults]


async def test_what_is_delivered_is_what_has_to_be() -> None:
    """In rows, lines and requests; the webhook's twice."""
    assert {"00001": [Decimal("410.10")], "00003": [Decimal("450.00")]} == truth.alerts(ROWS)
    async with delivered() as places:
        assert [[], [], [], []] == faults(places)
        assert [
            "2 rows of alerts, each customer's in their order",
            "7 rows of daily sales",
            "7 lines of daily sales in 1 file",
            "2 alerts by their ids, in 4 signed requests",
        ] == [found.holds for found in places.findings(ROWS, ROWS)]


async def test_a_row_that_is_lost_or_there_twice_is_seen() -> None:
    """In each of the tables, and in the files."""
    async with delivered() as places:
        with contextlib.closing(sqlite3.connect(places.database)) as database:
            database.execute("INSERT INTO alerts (customer, usd) VALUES ('00003', 450.0)")
            database.execute("DELETE FROM daily_sales WHERE day = '1997-03-02'")
            database.commit()
        (file,) = places.files()
        file.write_text(file.read_text() + file.read_text().splitlines()[0] + "\n")

        alerts, days, lines, told = faults(places)
        assert ["00003: [Decimal('450.0'), Decimal('450.0')] instead of [Decimal('450.00')]"] == alerts
        assert ["1997-03-02: None instead of (3, 3, Decimal('209.50'))"] == days
        assert ["1997-03-01, again: (3, 3, Decimal('610.1')) instead of None"] == lines
        assert [] == told


async def test_a_request_that_is_forged_is_refused_and_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """And one that comes again as another one."""
    async with delivered() as places:
        body = json.dumps({"customer": "00009", "usd": 500.0}).encode()
        request = urllib.request.Request(places.receiver.url, body, {"webhook-id": "1", "webhook-signature": "v1,AAAA"})
        with pytest.raises(urllib.error.HTTPError, match="401"):
            await asyncio.to_thread(urllib.request.urlopen, request, timeout=10)
        assert ["not signed as they should be, and refused: 1"] == faults(places)[3]
        id_, _ = places.receiver.taken[0]
        monkeypatch.setattr(places.receiver, "taken", [*places.receiver.taken, (id_, body)])
        assert f"{id_}: came again as another one" == faults(places)[3][0]
