"""A run that is over, judged once more: by its history, and by what the run itself had found beside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chaos.checkers.absences import RUN
from chaos.judging import ENDED, judge, judge_unread, was_read
from chaos.report.meanings import DEFINITIONS
from chaos.report.run_folder import Run, read_run, workloads


@dataclass(frozen=True, slots=True)
class Rejudged:
    """What came of it. `found`: a sentence an anomaly. `unproven`: why nothing is proven, in sentences."""

    found: Sequence[str]
    unproven: Sequence[str]


def rejudge(folder: Path) -> Rejudged:
    """Of the run in a folder. FileNotFoundError: there is none.

    Without its final reads only that is judged which needs none. What a history does not say (nodes that ended, what
    they wrote into their logs) is repeated from the run's own verdict.
    """
    run = read_run(folder)
    asking = judge if was_read(run.events) else judge_unread
    judged = asking(workloads(run.about), run.events)
    found = [f"{workload or 'the run'}: {anomaly.name}: {anomaly.detail}" for workload, anomaly in judged]
    again = DEFINITIONS["traces"]
    found += [
        f"the run: {anomaly['name']}: {anomaly['detail']}"
        for anomaly in run.anomalies
        if not anomaly["workload"] and anomaly["name"] not in again
    ]
    return Rejudged(found, list(_unproven(run)))


def _unproven(run: Run) -> Sequence[str]:
    ended = any(event.scope == RUN and event.name == ENDED for event in run.events)
    if run.verdict is None:
        return ["the run left no verdict: what it found beside its history is not known"]
    if run.verdict.get("failure") or not ended:
        why = run.verdict.get("failure") or "its history says of no end"
        return [f"the run did not come to its end: {why}"]
    return []
