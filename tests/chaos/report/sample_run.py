"""A run that never was: a plausible history with faults, elections and a window without acknowledgements, by seed.

`python -m tests.chaos.report.sample_run FOLDER` writes one, with its report, to look at.
"""

import json
import random
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos.history import History, Kind
from chaos.nemeses.schedule import Planned, Schedule
from chaos.report.page import write_report
from chaos.report.run_folder import HISTORY, RUN, SCHEDULE, VERDICT

PARTITIONS, NODES = 6, 3
CUT_OFF = "partition"
KINDS = {"kill": 4.0, "pause": 6.0, CUT_OFF: 12.0, "latency": 15.0, "fsync-slow": 9.0, "clock-jump": 0.0}
"""Faults of these samples, and how long they last."""
ELECTION_S = 1.4
LOST = 421
"""The send that is lost, counted from 0."""


@dataclass
class Sample:
    """A run in the making: all events, unordered, as (time, how to write it)."""

    seed: int = 7
    seconds: float = 300.0
    per_s: float = 60.0
    anomalies: bool = True
    faults: list[Planned] = field(default_factory=list)
    gone: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    """Of each partition when nobody leads it."""
    leaders: list[tuple[float, int, int]] = field(default_factory=list)
    """When, of which partition, who."""

    def __post_init__(self) -> None:
        self.chance = random.Random(f"sample/{self.seed}")
        leads = {partition: partition % NODES + 1 for partition in range(PARTITIONS)}
        self.leaders += [(2.0, partition, node) for partition, node in leads.items()]
        self.gone = {partition: [] for partition in range(PARTITIONS)}
        at_s = 0.12 * self.seconds
        while (fault := self._fault(at_s)).at_s + fault.lasts_s < 0.88 * self.seconds:
            self.faults.append(fault)
            self._elections(fault, leads)
            at_s = fault.at_s + fault.lasts_s

    def _fault(self, after_s: float) -> Planned:
        name = self.chance.choice(sorted(KINDS))
        role = "majority" if name == CUT_OFF else self.chance.choice(["leader", "follower", "controller"])
        lasts_s = KINDS[name] * self.chance.uniform(0.4, 1.0)
        at_s = after_s + self.chance.uniform(4.0, 11.0)
        options = {"ms": 140, "jitter_ms": 30} if name == "latency" else {}
        return Planned(at_s=round(at_s, 3), fault=name, role=role, lasts_s=round(lasts_s, 3), options=options)

    def _elections(self, fault: Planned, leads: dict[int, int]) -> None:
        node = self.node_of(fault)
        for partition, leader in list(leads.items()):
            if fault.fault == CUT_OFF:
                self.gone[partition].append((fault.at_s, fault.at_s + fault.lasts_s + 1.0))
            elif fault.fault in {"kill", "pause"} and leader == node:
                until_s = fault.at_s + ELECTION_S * self.chance.uniform(0.6, 1.4)
                self.gone[partition].append((fault.at_s, until_s))
                leads[partition] = self.chance.choice([n for n in range(1, NODES + 1) if n != node])
                self.leaders.append((until_s, partition, leads[partition]))

    def node_of(self, fault: Planned) -> int:
        """Whom it hit; of a majority, the first."""
        return int(fault.at_s) % NODES + 1


Step = tuple[float, Callable[[], None]]


def write_sample(folder: Path, sample: Sample, about: Mapping[str, Any] = {}) -> Path:
    """All four files of a run's folder; its report."""
    folder.mkdir(parents=True, exist_ok=True)
    told = {
        "scenario": "kills-and-cuts",
        "arena": "processes",
        "seed": sample.seed,
        "seconds": sample.seconds,
        "nodes": NODES,
        "workloads": {"log": {"partitions": PARTITIONS, "producers": 8}},
        "faults": sorted(KINDS),
        "commit": "141c2d3c842e",
        "started": "2026-11-27T22:14:05Z",
        "machine": "Linux 6.18, 2 cores, 24 GiB",
        "skipped": ["corrupt-packets: /dev/net/tun cannot be opened"],
    }
    (folder / RUN).write_text(json.dumps(told | dict(about)))
    (folder / SCHEDULE).write_text(Schedule(sample.seed, sample.faults).to_json())
    with (folder / HISTORY).open("w") as file:
        history = History(file=file)
        lost, read = _write(history, sample)
    verdict = _verdict(history, sample, lost, read)
    (folder / VERDICT).write_text(json.dumps(verdict))
    return write_report(folder)


def sample_history(sample: Sample) -> History:
    """The history alone."""
    history = History()
    _write(history, sample)
    return history


def _write(history: History, sample: Sample) -> tuple[int, int]:
    """The operations that are anomalous: a send, and the final read that did not have it."""
    steps: list[Step] = []
    special: dict[str, int] = {}
    _roles(history.scoped("run"), sample, steps)
    _nemesis(history, sample, steps)
    _sends(history.scoped("log"), sample, steps, special)
    _reads(history.scoped("log"), sample, steps, special)
    for _, step in sorted(steps, key=lambda step: step[0]):
        step()
    return special["lost"], special["read"]


def _roles(run: History, sample: Sample, steps: list[Step]) -> None:
    def mark(name: str, at_s: float, **value: Any) -> None:
        steps.append((at_s, lambda: run.end(0, "run", Kind.OK, name, at_s, **value)))

    for node in range(1, NODES + 1):
        mark("node", 0.2 * node, node=node, what="started")
    for name, share in (("load", 0.02), ("quiet", 0.88), ("healed", 0.93), ("end", 1.0)):
        mark(name, share * sample.seconds)
    for second in range(1, int(sample.seconds)):
        led = {}
        for at_s, partition, node in sample.leaders:
            if at_s <= second and not any(start <= second < end for start, end in sample.gone[partition]):
                led[f"log/{partition}"] = node
        mark("roles", float(second), leaders=led, controller=1 if second < 0.5 * sample.seconds else 3)


def _nemesis(history: History, sample: Sample, steps: list[Step]) -> None:
    nemesis, run = history.scoped("nemesis"), history.scoped("run")
    numbers: dict[int, int] = {}
    for place, fault in enumerate(sample.faults):
        node = sample.node_of(fault)
        nodes = sorted({node, node % NODES + 1}) if fault.role == "majority" else [node]
        end_s = fault.at_s + fault.lasts_s

        def begin(place: int = place, fault: Planned = fault, nodes: list[int] = nodes) -> None:
            numbers[place] = nemesis.invoke(
                "nemesis", fault.fault, fault.at_s, role=fault.role, nodes=nodes, options=fault.options
            )

        def mend(place: int = place, fault: Planned = fault, end_s: float = end_s) -> None:
            nemesis.end(numbers[place], "nemesis", Kind.OK, fault.fault, end_s)

        steps += [(fault.at_s, begin), (end_s + 1e-6, mend)]
        for what, at_s in {
            "kill": [("killed", fault.at_s), ("started", end_s)],
            "pause": [("paused", fault.at_s), ("resumed", end_s)],
        }.get(fault.fault, []):
            steps.append(
                (
                    at_s,
                    lambda node=node, what=what, at_s=at_s: run.end(
                        0, "run", Kind.OK, "node", at_s, node=node, what=what
                    ),
                )
            )  # type: ignore[misc]


def _sends(log: History, sample: Sample, steps: list[Step], special: dict[str, int]) -> None:
    """Clients wait for a partition without a leader, for a while; then their sends are of unknown outcome."""
    chance, offsets = sample.chance, dict.fromkeys(range(PARTITIONS), 0)
    for place in range(int(sample.per_s * sample.seconds * 0.86)):
        at_s = sample.seconds * 0.02 + place / sample.per_s + chance.uniform(0, 0.01)
        partition, process = place % PARTITIONS, f"producer-{place % 8}"
        value = "lost <script>alert(1)</script>" if place == LOST else f"v{place}"
        slow = any(f.fault in {"latency", "fsync-slow"} and f.at_s <= at_s < f.at_s + f.lasts_s for f in sample.faults)
        takes_s = chance.lognormvariate(-5.4, 0.5) * (12 if slow else 1)
        away = next((end for start, end in sample.gone[partition] if start <= at_s < end), None)
        kind = Kind.OK if chance.random() > 0.0005 else Kind.FAIL
        if away is not None:
            takes_s, kind = (away - at_s + takes_s, kind) if away - at_s < 4 else (4.0, Kind.INFO)
        _send(log, steps, special, place, at_s, takes_s, kind, partition, process, value, offsets)


def _send(
    log: History,
    steps: list[Step],
    special: dict[str, int],
    place: int,
    at_s: float,
    takes_s: float,
    kind: Kind,
    partition: int,
    process: str,
    value: str,
    offsets: dict[int, int],
) -> None:
    numbers: list[int] = []

    def begin() -> None:
        numbers.append(log.invoke(process, "send", at_s, partition=partition, key=f"k{place % 50}", value=value))
        if place == LOST:
            special["lost"] = numbers[0]

    def end() -> None:
        if kind is Kind.OK:
            offset = offsets[partition]
            offsets[partition] += 1
            log.end(numbers[0], process, kind, "send", at_s + takes_s, offset=offset, synced=[1, 2], duplicate=False)
        else:
            log.end(
                numbers[0],
                process,
                kind,
                "send",
                at_s + takes_s,
                error="DEADLINE_EXCEEDED" if kind is Kind.INFO else "CONFLICT",
            )

    steps += [(at_s, begin), (at_s + takes_s, end)]


def _reads(log: History, sample: Sample, steps: list[Step], special: dict[str, int]) -> None:
    for place in range(int(sample.seconds * 2)):
        at_s = 0.03 * sample.seconds + place / 2.3
        if at_s > 0.95 * sample.seconds:
            break
        final = at_s > 0.94 * sample.seconds
        _read(log, steps, special, at_s, "final" if final else f"reader-{place % 3}", place % PARTITIONS)
    _read(log, steps, special, 0.96 * sample.seconds, "final", LOST % PARTITIONS)


def _read(log: History, steps: list[Step], special: dict[str, int], at_s: float, process: str, partition: int) -> None:
    numbers: list[int] = []

    def begin() -> None:
        numbers.append(log.invoke(process, "read", at_s, partition=partition, start=0))
        special["read"] = numbers[0]

    def end() -> None:
        records = [[offset, "k", f"v{offset}"] for offset in range(40)]
        log.end(numbers[0], process, Kind.OK, "read", at_s + 0.03, partition=partition, records=records, first=0)

    steps += [(at_s, begin), (at_s + 0.03, end)]


def _verdict(history: History, sample: Sample, lost: int, read: int) -> dict[str, Any]:
    found = [
        {
            "name": "lost write",
            "detail": "lost <script>alert(1)</script> was acknowledged at 0@702",
            "workload": "log",
            "operations": [lost, read],
        },
        {"name": "poll skip", "detail": "reader-1 read 4@81 after 79", "workload": "log", "operations": [read]},
    ]
    log = [event for event in history.events if event.scope == "log"]
    kinds = {kind.value: sum(1 for event in log if event.kind is kind) for kind in Kind}
    faults: dict[str, int] = {}
    for fault in sample.faults:
        faults[fault.fault] = faults.get(fault.fault, 0) + 1
    return {
        "ok": not sample.anomalies,
        "anomalies": found if sample.anomalies else [],
        "operations": kinds,
        "faults": faults,
        "unavailable_s": 12.0,
        "figures": {
            "elections": len(sample.leaders) - PARTITIONS,
            "restarts": faults.get("kill", 0),
            "bytes_through_proxies": 481223345,
            "heal_s": 2.31,
        },
        "notes": ["The nodes' clocks were the machine's: no shim could be preloaded."],
    }


if __name__ == "__main__":
    print(write_sample(Path(sys.argv[1]), Sample(seed=int((sys.argv[2:] or ["7"])[0]), anomalies=len(sys.argv) < 4)))
