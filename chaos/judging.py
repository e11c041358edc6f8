"""What is wrong with a history: what each workload's own checkers find, and what holds of every run."""

from collections.abc import Mapping, Sequence
from typing import Any

from chaos.checkers.absences import RUN
from chaos.checkers.ages import check_ages
from chaos.checkers.anomaly import Anomaly
from chaos.checkers.liveness import check_liveness
from chaos.checkers.traces import SCOPE as TRACE
from chaos.checkers.traces import check_traces
from chaos.history import Event
from chaos.nemeses.catalogue import CATALOGUE
from chaos.workloads import workload_class

READ = "read"
"""The run's event that says that everything was read in the end."""
ENDED = "end"
"""That it came to its end."""
Workloads = Mapping[str, Mapping[str, Any]]
"""By name, their options as far as they differ from their own."""


def judge(workloads: Workloads, events: Sequence[Event]) -> list[tuple[str, Anomaly]]:
    """Every anomaly with its workload, or "" where it is nobody's. The history's final reads must be there."""
    found: list[tuple[str, Anomaly]] = []
    for name, options in workloads.items():
        cls = workload_class(name)
        mine = [event for event in events if event.scope == name]
        found += [(name, anomaly) for anomaly in cls.judge(mine, {**cls.options, **options})]
    return found + judge_unread(workloads, events)


def judge_unread(workloads: Workloads, events: Sequence[Event]) -> list[tuple[str, Anomaly]]:
    """The same of a history without final reads: only what needs none of them."""
    exempt = {name for name, kind in CATALOGUE.items() if not kind.minority}
    found: list[tuple[str, Anomaly]] = []
    for name, options in workloads.items():
        said = {**workload_class(name).options, **options}
        if any(event.name == "send" and event.scope == name for event in events):
            replicas = int(said.get("replicas") or 3)
            alive = check_liveness(events, scope=name, replicas=replicas, exempt=exempt)
            found += [(name, anomaly) for anomaly in alive]
        kept_s = _kept_s(said)
        if kept_s is not None:
            found += [(name, anomaly) for anomaly in check_ages(events, scope=name, kept_s=kept_s)]
    if any(event.scope == TRACE for event in events):
        found += [("", anomaly) for anomaly in check_traces(events)]
    return found


def was_read(events: Sequence[Event]) -> bool:
    """Whether a history has its final reads."""
    return any(event.scope == RUN and event.name in {READ, ENDED} for event in events)


def asked(workloads: Workloads, events: Sequence[Event]) -> list[str]:
    """The checkers that `judge` asks beside those of the workloads themselves, by their names."""
    found = []
    scopes = {event.scope for event in events if event.name == "send"}
    if scopes & set(workloads):
        found.append("liveness")
    if any(event.scope == TRACE for event in events):
        found += ["traces", "node_logs"]
    if any(event.name == "copy" for event in events):
        found.append("replicas")
    if any(_kept_s({**workload_class(name).options, **options}) is not None for name, options in workloads.items()):
        found.append("ages")
    return found


def _kept_s(options: Mapping[str, Any]) -> float | None:
    """How old records get in a workload's topic, where nothing but their age has a limit; None: nobody can tell.

    On fewer than three nodes there is no majority that outvotes a wrong clock.
    """
    limits = options.get("limits") or {}
    by_age = "retention_ms" in limits and "retention_bytes" not in limits and not limits.get("compacted")
    return limits["retention_ms"] / 1000 if by_age and int(options.get("replicas") or 3) >= 3 else None
