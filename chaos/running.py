"""A run from its scenario to its folder: which faults are possible here, the schedule, the arena, the files.

The folder then holds run.json (what was to run), schedule.json, history.jsonl, nodes/ (real ones), verdict.json and
report.html.
"""

import asyncio
import datetime as dt
import json
import platform
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.arenas.arena import Arena
from chaos.arenas.processes.arena import ProcessArena
from chaos.arenas.processes.expected import allowed_events
from chaos.arenas.processes.fittings import fittings_for
from chaos.arenas.sim.arena import SIM_FAULTS, SimArena
from chaos.arenas.sim.cluster import frugal, small_logs
from chaos.history import History
from chaos.nemeses.catalogue import CATALOGUE
from chaos.nemeses.schedule import Schedule, draw_schedule
from chaos.run import Run
from chaos.scenario import Scenario
from chaos.verdict import Verdict
from cluster.sim.clock import simulate

ARENAS = ("sim", "processes")
GROWING = "operations"
"""The workload that adds nodes."""
Watch = Callable[[Run], None]
"""Is told of a run when it begins."""


@dataclass(frozen=True, slots=True)
class Done:
    """A run that is over."""

    verdict: Verdict
    folder: Path
    skipped: list[str]


class NotPossible(Exception):
    """Some of a schedule's faults are not possible here; the message says which, and why."""


def run_scenario(
    scenario: Scenario, *, arena: str, seed: int, folder: Path, schedule: Schedule | None = None, watch: Watch
) -> Done:
    """Run it to its end. `schedule`: one that was saved; else it is drawn from the seed.

    An earlier run in that folder is replaced; FileExistsError if what is there is no run. NotPossible, before anything
    is run, if the schedule has faults that are not.
    """
    if schedule is not None and (why := _impossible(scenario, arena, schedule)):
        raise NotPossible("; ".join(why))
    if folder.exists() and any(folder.iterdir()):
        if not (folder / "run.json").exists():
            raise FileExistsError(f"{folder} is not empty, and it is no run's folder: choose another one")
        shutil.rmtree(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "history.jsonl").open("w", buffering=1 << 16) as file:
        history = History(file=file)
        going = _in_processes if arena == "processes" else _simulated
        verdict, skipped = going(scenario, seed, folder, history, schedule, watch)
    (folder / "verdict.json").write_text(verdict.to_json())
    return Done(verdict, folder, skipped)


def _impossible(scenario: Scenario, arena: str, schedule: Schedule) -> list[str]:
    """Which of a schedule's faults are not possible here, and why."""
    faults = [fault for fault in scenario.faults if fault in CATALOGUE]
    if arena == "processes":
        _, possible, skipped = fittings_for(faults, growing=GROWING in scenario.workloads)
    else:
        possible, skipped = _simulated_faults(faults)
    missing = {planned.fault for planned in schedule.faults} - set(possible)
    told = {sentence: set(sentence.partition(":")[0].split(", ")) & missing for sentence in skipped}
    others = sorted(missing.difference(*told.values()))
    said = {True: "the run's scenario does not name it", False: "there is no such fault"}
    return [
        *(sentence for sentence, whose in told.items() if whose),
        *(f"{fault}: {said[fault in CATALOGUE]}" for fault in others),
    ]


def _simulated_faults(faults: Sequence[str]) -> tuple[list[str], list[str]]:
    """Those that the simulator has, and of the others why not, in sentences."""
    skipped = [f"{fault}: not in the simulator" for fault in faults if fault not in SIM_FAULTS]
    return [fault for fault in faults if fault in SIM_FAULTS], skipped


def _in_processes(
    scenario: Scenario, seed: int, folder: Path, history: History, schedule: Schedule | None, watch: Watch
) -> tuple[Verdict, list[str]]:
    fittings, possible, skipped = fittings_for(scenario.faults, seed, growing=GROWING in scenario.workloads)
    drawn = schedule or _draw(scenario, seed, possible)
    _write(scenario, "processes", seed, folder, drawn, skipped)

    async def work() -> Verdict:
        arena = ProcessArena(
            folder,
            nodes=scenario.nodes,
            seed=seed,
            fittings=fittings,
            history=history,
            allowed=allowed_events(possible),
        )
        return await _run(scenario, arena, history, drawn, watch)

    return asyncio.run(work()), skipped


def _simulated(
    scenario: Scenario, seed: int, folder: Path, history: History, schedule: Schedule | None, watch: Watch
) -> tuple[Verdict, list[str]]:
    possible, skipped = _simulated_faults(scenario.faults)
    drawn = schedule or _draw(scenario, seed, possible)
    _write(scenario, "sim", seed, folder, drawn, skipped)
    return _in_virtual_time(scenario, seed, history, drawn, watch), skipped


def simulate_scenario(scenario: Scenario, seed: int, history: History) -> Verdict:
    """In virtual time, without a folder: the run that `run_scenario` makes of the same seed."""
    possible, _ = _simulated_faults(scenario.faults)
    return _in_virtual_time(scenario, seed, history, _draw(scenario, seed, possible), lambda _: None)


def _in_virtual_time(scenario: Scenario, seed: int, history: History, schedule: Schedule, watch: Watch) -> Verdict:
    async def work() -> Verdict:
        arena = SimArena.make(seed, nodes=scenario.nodes, adjust=frugal if scenario.frugal else small_logs)
        return await _run(scenario, arena, history, schedule, watch)

    return simulate(work(), seed)[0]


async def _run(scenario: Scenario, arena: Arena, history: History, schedule: Schedule, watch: Watch) -> Verdict:
    run = Run(scenario, arena, history, schedule)
    watch(run)
    return await run.run()


def _draw(scenario: Scenario, seed: int, possible: list[str]) -> Schedule:
    return draw_schedule(seed, possible, seconds=scenario.seconds, every_s=scenario.every_s, overlap=scenario.overlap)


def _write(scenario: Scenario, arena: str, seed: int, folder: Path, schedule: Schedule, skipped: list[str]) -> None:
    """What is about to run, so that it can be run again."""
    (folder / "schedule.json").write_text(schedule.to_json())
    plain = {
        "scenario": scenario.name,
        "definition": json.loads(scenario.to_json()),
        "arena": arena,
        "seed": seed,
        "seconds": scenario.seconds,
        "nodes": scenario.nodes,
        "workloads": {name: dict(options) for name, options in scenario.workloads.items()},
        "faults": list(scenario.faults),
        "commit": commit(),
        "started": dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),  # noqa: TID251  for people
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "skipped": skipped,
    }
    (folder / "run.json").write_text(json.dumps(plain, indent=1))


def commit() -> str:
    """What runs, as git names it."""
    said = subprocess.run(
        ["git", "describe", "--always", "--dirty"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return said.stdout.strip()
