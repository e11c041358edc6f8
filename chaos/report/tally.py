"""Figures of many runs, added up: what `chaos/figures.json` holds, and what can be said of it.

Three kinds, never added to one another: hours of single Raft groups and of whole clusters, both simulated, and minutes
of real processes. Each tally says which seeds it is of, and which commits they ran at.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from chaos.report.recovery import NOTICED_S, recoveries
from chaos.report.run_folder import Run
from chaos.report.sentences import node_count
from chaos.report.spans import faults
from chaos.report.unavailability import unavailable

KINDS = {
    "raft": "single Raft groups, simulated",
    "cluster": "whole clusters, simulated",
    "processes": "real processes",
}
S_PER_HOUR = 3600.0
DIRTY = "-dirty"


class NotCounted(Exception):
    """These runs cannot be added; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """Of some runs of one kind at one range of commits."""

    kind: str
    what: str
    """The scenario, or the command."""
    commits: str
    seeds: str
    """Which, for people: "1-5000", "7, 9"."""
    runs: int
    hours: float
    """Of load and faults, healing included: simulated, or real."""
    operations: Mapping[str, int] = field(default_factory=dict)
    """invoke, ok, fail, info."""
    faults: Mapping[str, int] = field(default_factory=dict)
    anomalies: int = 0
    broke_off: int = 0
    """Runs that did not come to their end."""
    cpu_minutes: float | None = None
    recovery_s: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    """Of each fault: so many seconds (two digits are kept), so many times."""

    def plain(self) -> dict[str, Any]:
        """As it stands in the file."""
        return asdict(self)


def tally(runs: Sequence[Run], *, commits: str = "", cpu_minutes: float | None = None) -> list[Tally]:
    """Of each scenario and arena one. NotCounted: one was not judged, or commits differ and no range is given."""
    mixed: dict[tuple[str, str], list[Run]] = {}
    for run in runs:
        if run.verdict is None:
            raise NotCounted(f"{run.folder} has no verdict")
        kind = "processes" if run.about.get("arena") == "processes" else "cluster"
        mixed.setdefault((kind, str(run.about.get("scenario") or "own")), []).append(run)
    return [_one(kind, what, mine, commits, cpu_minutes) for (kind, what), mine in sorted(mixed.items())]


def _one(kind: str, what: str, runs: Sequence[Run], commits: str, cpu_minutes: float | None) -> Tally:
    at = sorted({str(run.about.get("commit") or "") for run in runs})
    if not commits and (len(at) > 1 or not at[0]):
        raise NotCounted(f"{what} ran at {', '.join(filter(None, at)) or 'unknown commits'}: give their range")
    if any(commit.endswith(DIRTY) for commit in at):
        raise NotCounted(f"{what} ran with changes that are in no commit: nobody could repeat it")
    verdicts = [run.verdict for run in runs if run.verdict is not None]
    recovered = [one for run in runs for one in _recoveries(run)]
    return Tally(
        kind=kind,
        what=what,
        commits=commits or at[0],
        seeds=seeds_words(int(run.about.get("seed", 0)) for run in runs),
        runs=len(runs),
        hours=round(sum(_seconds(run) for run in runs) / S_PER_HOUR, 4),
        operations=dict(_sum(verdict.get("operations") or {} for verdict in verdicts)),
        faults=dict(sorted(_sum(verdict.get("faults") or {} for verdict in verdicts).items())),
        anomalies=sum(len(verdict.get("anomalies") or ()) for verdict in verdicts),
        broke_off=sum(1 for verdict in verdicts if verdict.get("failure")),
        cpu_minutes=cpu_minutes,
        recovery_s={
            name: dict(Counter(f"{took_s:.2g}" for other, took_s in recovered if other == name))
            for name in sorted({name for name, _ in recovered})
        },
    )


def _seconds(run: Run) -> float:
    """The verdict's, else the history's."""
    told = (run.verdict or {}).get("seconds")
    return float(told) if told is not None else max((event.time_s for event in run.events), default=0.0)


def _recoveries(run: Run) -> list[tuple[str, float]]:
    windows = unavailable(run.events, NOTICED_S)
    return recoveries(faults(run.events), windows, node_count(run.about))


def _sum(counts: Iterable[Mapping[str, int]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for count in counts:
        total.update(count)
    return total


def seeds_words(seeds: Iterable[int]) -> str:
    """Runs of them as ranges: "1-5, 9"."""
    ranges: list[list[int]] = []
    for seed in sorted(set(seeds)):
        if ranges and ranges[-1][1] == seed - 1:
            ranges[-1][1] = seed
        else:
            ranges.append([seed, seed])
    return ", ".join(str(first) if first == last else f"{first}-{last}" for first, last in ranges)


def added(tallies: Sequence[Tally], more: Iterable[Tally]) -> list[Tally]:
    """Both. NotCounted for seeds that are there already, of the same commits."""
    known = {(one.kind, one.what, one.commits, one.seeds) for one in tallies}
    found = list(tallies)
    for one in more:
        if (one.kind, one.what, one.commits, one.seeds) in known:
            raise NotCounted(f"{one.what}, seeds {one.seeds} at {one.commits}: is counted already")
        found.append(one)
    return sorted(found, key=lambda one: (list(KINDS).index(one.kind), one.what, one.commits, one.seeds))


@dataclass(frozen=True, slots=True)
class Totals:
    """Of all tallies of a kind."""

    runs: int
    hours: float
    operations: Counter[str]
    faults: Counter[str]
    anomalies: int
    broke_off: int
    cpu_minutes: float
    """Of the tallies that know it."""
    cpu_hours: float
    """The hours of these."""
    recovery: Mapping[str, Counter[float]]


def totals(tallies: Iterable[Tally]) -> Totals:
    """Add them up."""
    mine = list(tallies)
    timed = [one for one in mine if one.cpu_minutes is not None]
    recovery: dict[str, Counter[float]] = {}
    for one in mine:
        for name, times in one.recovery_s.items():
            recovery.setdefault(name, Counter()).update({float(took_s): count for took_s, count in times.items()})
    return Totals(
        runs=sum(one.runs for one in mine),
        hours=sum(one.hours for one in mine),
        operations=_sum(one.operations for one in mine),
        faults=_sum(one.faults for one in mine),
        anomalies=sum(one.anomalies for one in mine),
        broke_off=sum(one.broke_off for one in mine),
        cpu_minutes=sum(one.cpu_minutes or 0.0 for one in timed),
        cpu_hours=sum(one.hours for one in timed),
        recovery=recovery,
    )
