"""A cluster with faults for tests of your own: `pytest -p chaos.pytest_plugin`.

    @pytest.mark.chaos(nodes=3, faults=["kill", "pause"], every_s=4, seed=7)
    def test_orders_survive(chaos):
        with connect_blocking(chaos.servers) as client:
            client.create_topic("orders", partitions=3)
            for number in range(1000):
                client.publish("orders", b"%d" % number)      # nodes fail meanwhile, as the schedule of the seed has it
            chaos.heal()
            assert 1000 == sum(1 for _ in client.read("orders", until="latest"))

    @pytest.mark.chaos(faults=["kill"], every_s=None)         # only when the test says so
    def test_a_leader_dies(chaos):
        with connect_blocking(chaos.servers) as client:
            client.publish("orders", b"before")
            with chaos.fault("kill", role="leader"):
                client.publish("orders", b"meanwhile")

Each test has a cluster of its own, in its tmp_path; what
is wrong by itself (a node that ended, a stop that took too long) fails the test at its end. The fixture works on a
thread of its own, so tests may be synchronous or not. A fault that this machine does not allow skips the test.
"""

import asyncio
import contextlib
import random
import threading
from collections.abc import Coroutine, Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from chaos.arenas.processes.arena import ProcessArena
from chaos.arenas.processes.expected import allowed_events
from chaos.arenas.processes.fittings import fittings_for
from chaos.history import History
from chaos.nemeses.catalogue import CATALOGUE
from chaos.nemeses.nemesis import Nemesis
from chaos.nemeses.schedule import Planned, Schedule, draw_schedule
from chaos.scenario import UnknownWord, faults_named

T = TypeVar("T")
START_S_MAX = 90.0
HEAL_S_MAX = 600.0
"""All that may last, each fault within its own bound, and the nodes' starts."""
SCHEDULE_S = 3600.0
"""A schedule of faults is drawn for so long; the test ends it before."""


class Chaos:
    """A running cluster of real processes, and what can be done to it. Of use in the test's thread."""

    def __init__(self, folder: Path, *, nodes: int, faults: Sequence[str], every_s: float | None, seed: int) -> None:
        """`faults`: names or families that may happen; all that is asked for must be possible on this machine."""
        self.history = History()
        self._names = faults_named(faults)
        self._every_s = every_s
        self._seed = seed
        fittings, possible, skipped = fittings_for(self._names, seed)
        if len(possible) < len(self._names):
            pytest.skip("; ".join(skipped))
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="chaos", daemon=True)
        self._thread.start()
        self._arena = self._do(self._make(folder, nodes, fittings))
        self._nemesis = Nemesis(self._arena, self.history, Schedule(seed, []))
        self._going: asyncio.Future[None] | None = None

    @property
    def servers(self) -> list[str]:
        """Where clients reach the nodes."""
        return [launch.config.client.address for launch in self._arena.processes.launches.values()]

    @property
    def nodes(self) -> list[int]:
        """1 … n."""
        return list(self._arena.nodes)

    def begin(self) -> None:
        """Faults happen from now on, as the seed has them, until `heal`."""
        assert self._every_s is not None, "somebody has said how often"
        schedule = draw_schedule(self._seed, self._names, seconds=SCHEDULE_S, every_s=self._every_s, quiet_share=0.0)
        self._nemesis = Nemesis(self._arena, self.history, schedule)

        async def start() -> "asyncio.Future[None]":
            return asyncio.ensure_future(self._nemesis.run())

        self._going = self._do(start())

    @contextlib.contextmanager
    def fault(self, name: str, *, role: str = "one", **options: Any) -> Iterator[list[int]]:
        """One fault lasts as long as the block; the nodes that it hit. Options as in `chaos list`.

        HitNobody: it has not happened, for no node was there to be hit, say.
        """
        if name not in self._names:
            raise UnknownWord(f"the test's mark does not say {name!r} among its faults: {', '.join(self._names)}")
        drawn = CATALOGUE[name].draw(random.Random(self._seed))
        planned = Planned(at_s=0.0, fault=name, role=role, lasts_s=SCHEDULE_S, options={**drawn, **options})
        nemesis = Nemesis(self._arena, self.history, Schedule(self._seed, [planned]))
        try:
            yield self._do(nemesis.hit(planned))
        finally:
            self._do(nemesis.heal())

    def heal(self) -> None:
        """No more faults; every node runs and answers when this returns."""

        async def work() -> None:
            going, self._going = self._going, None
            try:
                await self._nemesis.heal()
                if going is not None:
                    await going
            finally:
                if going is not None:
                    going.cancel()  # whatever hangs
            await self._arena.heal()

        self._do(work(), HEAL_S_MAX)

    def close(self) -> list[str]:
        """The end; what was wrong by itself, in sentences."""
        try:
            self.heal()
            anomalies, _ = self._do(self._arena.examine([]))
        finally:
            figures = self._do(self._arena.stop())
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()
        return [f"{anomaly.name}: {anomaly.detail}" for anomaly in anomalies] + list(figures.failures)

    async def _make(self, folder: Path, nodes: int, fittings: Sequence[Any]) -> ProcessArena:
        arena = ProcessArena(
            folder,
            nodes=nodes,
            seed=self._seed,
            fittings=fittings,
            history=self.history,
            allowed=allowed_events(self._names),
        )
        try:
            await arena.start()
        except BaseException:
            await arena.stop()
            raise
        return arena

    def _do(self, work: "Coroutine[Any, Any, T]", within_s: float = 2 * START_S_MAX) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(within_s)


def pytest_configure(config: pytest.Config) -> None:
    """The mark is known."""
    config.addinivalue_line(
        "markers", "chaos(nodes=3, faults=(), every_s=5.0, seed=1): the cluster of the fixture `chaos`"
    )


@pytest.fixture
def chaos(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Chaos]:
    """A cluster of this test's own, with the faults of its mark already going on."""
    mark = request.node.get_closest_marker("chaos")
    said = {"nodes": 3, "faults": (), "every_s": 5.0, "seed": 1, **(mark.kwargs if mark is not None else {})}
    try:
        made = Chaos(tmp_path / "chaos", **said)
    except UnknownWord as error:
        raise pytest.UsageError(str(error)) from error
    if said["faults"] and said["every_s"] is not None:
        made.begin()
    try:
        yield made
    finally:
        wrong = made.close()
    if wrong:
        pytest.fail("\n".join(wrong))
