"""The driver of kills itself: it kills, it lets what is right pass, and it does not let pass what is wrong."""

import itertools
from pathlib import Path

import pytest

from cluster.connectors.contract import Arrival, Delivery
from tests.connectors.kills import kill_sink, kill_source
from tests.connectors.plain import PlainPeer, PlainSink, PlainSource

pytestmark = [pytest.mark.slow]
SEED = 7


@pytest.mark.parametrize("broken", [False, True])
def test_a_source_through_kills(tmp_path: Path, *, broken: bool) -> None:
    """Everything once and in order, unless it begins anew now and then."""
    data, numbers = tmp_path / "data", itertools.count()
    data.touch()
    peer = PlainPeer(tmp_path / "up")
    peer.start()

    def feed() -> None:
        with data.open("ab") as file:
            file.write(b"%d\n" % next(numbers))

    def done(found: list[Arrival]) -> bool:
        return len(found) >= 100

    options = PlainSource(path=str(tmp_path), broken=broken)
    found = kill_source(options, truth_done=done, peer=peer, points=3, seed=SEED, feed=feed, zombies=True)

    assert broken == ([record.value for record in found] != [b"%d\n" % n for n in range(len(found))])


@pytest.mark.parametrize("broken", [False, True])
def test_a_sink_through_kills(tmp_path: Path, *, broken: bool) -> None:
    """Everything once and in order, unless what is there is not asked for."""
    (tmp_path / "data").touch()
    peer = PlainPeer(tmp_path / "up")
    peer.start()
    deliveries = [
        Delivery(value=b"v%d" % n, key=b"k", timestamp_ns=0, headers=(), offset=3 * n, id=f"{n}") for n in range(500)
    ]

    kill_sink(PlainSink(path=str(tmp_path), broken=broken), deliveries, peer=peer, points=3, seed=SEED)

    lines = (tmp_path / "data").read_bytes().splitlines()
    assert broken == (lines != [b"%d v%d" % (3 * n, n) for n in range(500)])
