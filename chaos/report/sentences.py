"""A run's verdict in sentences: what ran, against what, how it came out, and what that rests on."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from chaos.checkers.faults import faults_of
from chaos.history import Kind
from chaos.report.canvas import seconds
from chaos.report.operations import OUTCOMES, Operation
from chaos.report.run_folder import Run, workloads
from chaos.report.spans import Spans

TIMES = "\u00d7"
ARENAS = {"processes": "real processes", "sim": "simulated nodes in virtual time"}


def some(count: int, word: str) -> str:
    """So many of it: "1 fault", "1,234 faults", "2 anomalies"."""
    plural = word[:-1] + "ies" if word.endswith("y") else word + "s"
    return f"{count:,} {word if count == 1 else plural}"


def headline(run: Run) -> tuple[str, str]:
    """The verdict in a few words, and the class of its colour."""
    if run.verdict is None:
        return "Not judged: the run has no verdict", "unknown"
    if run.verdict.get("failure"):
        found = f"; {some(len(run.anomalies), 'anomaly')} until then" if run.anomalies else ""
        return f"The run did not come to its end{found}", "bad"
    if run.anomalies:
        return some(len(run.anomalies), "anomaly"), "bad"
    if not run.verdict.get("ok", False):
        return "The run failed", "bad"
    return "No anomalies", "unknown" if unharmed(run) else "good"


def unharmed(run: Run) -> bool:
    """Faults were wanted, and none happened: then nothing that was found proves little."""
    return bool(run.about.get("faults")) and not faults_of(run.events)


def by_name(anomalies: Sequence[Mapping[str, Any]]) -> Counter[str]:
    """How many of each."""
    return Counter(str(anomaly.get("name", "?")) for anomaly in anomalies)


def summary(run: Run, lasted: Spans, done: Sequence[Operation]) -> str:
    """What ran, in one or two sentences."""
    about = run.about
    names = list(workloads(about))
    what = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names) or "no workload"
    nodes = node_count(about)
    where = ARENAS.get(str(about.get("arena")), str(about.get("arena", "an unknown arena")))
    load_s = lasted.marks.get("quiet", lasted.end_s) - lasted.marks.get("load", 0.0)
    kinds = len({fault.name for fault in lasted.faults})
    hit = f"while {some(len(lasted.faults), 'fault')} of {some(kinds, 'kind')} hit it" if kinds else "without faults"
    sentence = f"The {'workload' if len(names) < 2 else 'workloads'} {what} ran for {seconds(load_s)} "
    sentence += f"on {nodes} {where} {hit}, from seed {about.get('seed', '?')}."
    return f"{sentence} {outcomes(done)}"


def outcomes(done: Sequence[Operation]) -> str:
    """Of all operations; the unknown ones are said to be unknown."""
    if not done:
        return "The history has no operations."
    count = {kind: sum(1 for one in done if one.kind is kind) for kind in OUTCOMES}
    share = {kind: f"{100 * count[kind] / len(done):.2f} %" for kind in OUTCOMES}
    return (
        f"Of {some(len(done), 'operation')} {share[Kind.OK]} were done, {share[Kind.FAIL]} definitely refused, and of "
        f"{share[Kind.INFO]} the outcome is unknown."
    )


def node_count(about: Mapping[str, Any]) -> int:
    """However run.json says it."""
    nodes = about.get("nodes", 0)
    return int(nodes) if isinstance(nodes, int | float | str) else len(nodes)


def verdict_sentence(run: Run, lasted: Spans) -> str:
    """How it came out, and what that rests on."""
    if run.verdict is None:
        return "It ended before anybody judged it. What follows is what it wrote until then, and proves nothing."
    if run.verdict.get("failure"):
        return f"{run.verdict['failure']}. A history without its final reads is not judged."
    if run.anomalies:
        names = ", ".join(
            f"{name} {TIMES} {count:,}" if count > 1 else name for name, count in by_name(run.anomalies).items()
        )
        return f"Found: {names}."
    if not run.verdict.get("ok", False):
        return "No checker found an anomaly, and yet the verdict is not good: see the notes."
    healed = "healed" in lasted.marks
    how = "Everything was healed and read to its end" if healed else "It ran to its end"
    none = " None of the faults that were wanted happened, so it says nothing about them." if unharmed(run) else ""
    return f"{how}; what the checkers below look for was not found.{none}"
