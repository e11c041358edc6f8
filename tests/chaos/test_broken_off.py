"""Runs that do not come to their end: what can be judged is judged, and why it broke off is said. In virtual time."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from chaos import run as runs
from chaos.arenas.sim.arena import SimArena
from chaos.arenas.sim.cluster import frugal
from chaos.history import History
from chaos.nemeses.schedule import Planned, Schedule
from chaos.run import Run
from chaos.scenario import Scenario
from chaos.scenarios import SCENARIOS
from chaos.verdict import Verdict
from chaos.workloads import WORKLOADS, workload_class
from chaos.workloads.load import LogPlan
from chaos.workloads.reading import plain
from cluster.client.client import Client
from cluster.client.decoding import ReadRecord
from cluster.client.verifying import CopyState, Verification
from cluster.sim.clock import simulate
from cluster.types import Offset

SMALL = {"rate_per_s": 5.0, "partitions": 2, "producers": 1, "readers": 1, "appenders": 0}


class Dying(SimArena):
    """Two of three nodes are gone as soon as it has healed."""

    async def heal(self) -> None:
        """See Arena."""
        await super().heal()
        for node in (1, 2):
            self.cluster.crash(node)


class Unhealed(SimArena):
    """Nobody answers when everything is mended."""

    async def heal(self) -> None:
        """See Arena."""
        raise RuntimeError("node 2 was not ready within 60 s")


class Forgetful(Unhealed):
    """Somebody has failed by then, and nobody has looked."""

    async def heal(self) -> None:
        """See Arena."""

        async def fail() -> None:
            raise ValueError("forgotten")

        failed = asyncio.create_task(fail())
        await asyncio.sleep(0.1)
        assert failed.done()
        del failed
        await super().heal()


class Late(SimArena):
    """Its healing takes longer than somebody waits."""

    async def heal(self) -> None:
        """See Arena."""
        async with asyncio.timeout(1):
            await asyncio.sleep(2)


def run_in(cls: type[SimArena]) -> Verdict:
    """A small run of the log, without faults, in such an arena."""

    async def work() -> Verdict:
        arena = cls.make(1, adjust=frugal)
        scenario = Scenario(name="own", workloads={"log": SMALL}, seconds=5.0)
        return await Run(scenario, arena, History(), Schedule(1, [])).run()

    return simulate(work(), 1)[0]


def test_partitions_that_never_come_back_are_told() -> None:
    """Sends end before the run is given up, and it is judged without its final reads."""
    verdict = run_in(Dying)

    assert "no progress" in {anomaly.name for _, anomaly in verdict.anomalies}
    assert "liveness" in verdict.checked
    assert verdict.failure.startswith("reading everything: "), verdict.failure
    assert not {"unseen", "lost write"} & {anomaly.name for _, anomaly in verdict.anomalies}


def test_a_cluster_that_does_not_heal_is_told() -> None:
    """Beside why the run ended."""
    verdict = run_in(Unhealed)

    assert ["not healed"] == [anomaly.name for _, anomaly in verdict.anomalies]
    assert "healing: RuntimeError: node 2 was not ready within 60 s" == verdict.failure


def test_what_had_failed_before_is_told_too() -> None:
    """It may be why the run broke off."""
    verdict = run_in(Forgetful)

    assert {"not healed", "unretrieved exception"} == {anomaly.name for _, anomaly in verdict.anomalies}
    assert any("forgotten" in anomaly.detail for _, anomaly in verdict.anomalies), verdict.anomalies


def test_a_time_out_says_where_it_was() -> None:
    """It has no words of its own."""
    assert "healing: TimeoutError: it took too long" == run_in(Late).failure


def test_every_delivery_ends_before_the_run_is_given_up() -> None:
    """Else a time-out is all that is told of a partition that does not come back."""
    workloads = [{name: {} for name in WORKLOADS}, *(scenario.workloads for scenario in SCENARIOS.values())]
    waits = {
        {**workload_class(name).options, **said}.get("delivery_timeout_s", 0.0)
        for of_run in workloads
        for name, said in of_run.items()
    }

    assert max(waits) + runs.MARGIN_S <= runs.STOP_S_MAX


def test_copies_that_never_come_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many they are: all are waited for together."""
    verify = Client.verify

    async def damaged(self: Client, *place: Any) -> Verification:
        found = await verify(self, *place)
        return replace(found, copies=[replace(copy, state=CopyState.DAMAGED) for copy in found.copies])

    monkeypatch.setattr(Client, "verify", damaged)
    verdict = run_in(SimArena)

    assert "" == verdict.failure
    names = [anomaly.name for _, anomaly in verdict.anomalies]
    assert {"unsafe copy"} == set(names)
    assert 2 * LogPlan().verified == len(names)


def test_bytes_that_are_no_text_are_read_all_the_same() -> None:
    """Damage that reached a reader is an anomaly, and not the end of the run."""
    record = ReadRecord(b"\xff1.2", b"k\xff", (), 0, Offset(3), 0)

    assert [3, "k\ufffd", "\ufffd1.2"] == plain(record)
    assert [3, "k\ufffd", ""] == plain(record._replace(value=b""))


def test_a_run_whose_faults_hit_nobody_says_so() -> None:
    """It ran to its end, and nothing is wrong; but that is not what was wanted."""
    faults = [Planned(at_s=1.0, fault="client_vanish", role="client", lasts_s=0.0, options={"seat": 0.5})]

    async def work() -> Verdict:
        scenario = Scenario(name="own", workloads={"metadata": {}}, faults=("client_vanish",), seconds=5.0)
        return await Run(scenario, SimArena.make(1, adjust=frugal), History(), Schedule(1, faults)).run()

    verdict = simulate(work(), 1)[0]
    assert ("", {}) == (verdict.failure, verdict.faults)
    assert [runs.UNHARMED] == [*verdict.notes]
