"""A run's folder, read: what was planned, what happened and what was judged.

What a run that ended early did not write is missing here, too, and said to be missing: no verdict is not a good one.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.history import Event, read_history
from chaos.nemeses.schedule import Schedule

RUN, SCHEDULE, HISTORY, VERDICT = "run.json", "schedule.json", "history.jsonl", "verdict.json"
S_PER_MINUTE = 60
OWN = "own"
"""The scenario of runs that have no named one."""
OUR_SCOPES = ("nemesis", "run", "trace")
"""Scopes of a history that are no workload's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All of a folder."""

    about: Mapping[str, Any]
    """run.json"""
    schedule: Schedule | None
    events: Sequence[Event]
    """By line: the first stands in line 1 of the history."""
    verdict: Mapping[str, Any] | None
    """None: nobody judged it."""
    anomalies: Sequence[Mapping[str, Any]] = field(default_factory=list)
    """Of the verdict: name, detail, workload, operations."""
    torn: bool = False
    """The history ends within a line."""
    folder: str = ""
    """Its name."""


def read_run(folder: Path) -> Run:
    """Of files that are there. FileNotFoundError without run.json; ValueError for one that is no JSON."""
    about = json.loads((folder / RUN).read_text())
    schedule, verdict = folder / SCHEDULE, _json(folder / VERDICT)
    events, torn = _events(folder / HISTORY)
    return Run(
        about=about,
        schedule=Schedule.from_json(schedule.read_text()) if schedule.exists() else None,
        events=events,
        verdict=verdict,
        anomalies=list(verdict.get("anomalies", ())) if verdict is not None else [],
        torn=torn,
        folder=folder.name,
    )


def _json(path: Path) -> Any:
    return json.loads(path.read_text()) if path.exists() else None


def _events(path: Path) -> tuple[list[Event], bool]:
    """A process that was killed may have left half a line, which can only be the last one."""
    if not path.exists():
        return [], False
    with path.open() as file:
        lines = [line for line in file if line.strip()]
    torn = bool(lines) and not lines[-1].endswith("\n")
    return list(read_history(lines[:-1] if torn else lines)), torn


def workloads(about: Mapping[str, Any]) -> Mapping[str, Any]:
    """By name their options, however run.json has them."""
    given = about.get("workloads") or {}
    return given if isinstance(given, Mapping) else {str(name): {} for name in given}


def repeat_line(about: Mapping[str, Any]) -> str:
    """The command that runs the same again, from the repository; the same faults where the same are possible."""
    definition = about.get("definition") or {}
    scenario = str(about.get("scenario") or OWN)
    words = ["python", "-m", "chaos", "run"]
    if scenario == OWN:
        words += ["--workload", ",".join(workloads(about)), "--nemesis", ",".join(map(str, about.get("faults") or ()))]
    else:
        words.append(scenario)
    words += ["--arena", str(about.get("arena", "sim"))]
    if "nodes" in about:
        words += ["--nodes", str(about["nodes"])]
    if "seconds" in about:
        words += ["--minutes", f"{float(about['seconds']) / S_PER_MINUTE:g}"]
    if "every_s" in definition:
        words += ["--every", f"{definition['every_s']:g}"]
    return shlex.join([*words, "--seed", str(about.get("seed", 0))])
