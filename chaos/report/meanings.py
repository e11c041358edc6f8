"""What each anomaly means, and which checker looks for it: as the docstring of `chaos.checkers` defines them.

There a checker's section begins with its name ("`log`: …"), and each of its anomalies is an item ("- name: meaning").
"""

import re
from collections.abc import Iterable

import chaos.checkers

SECTION = re.compile(r"^`(\w+)`[^\n]*:", re.MULTILINE)
ITEM = re.compile(r"^- ([^:\n(]+?)(?: \([^)\n]*\))?: (.+?)(?=^- |^`|^$|\Z)", re.MULTILINE | re.DOTALL)
CHECKERS = {
    "log": ("log", "publishes", "deletions"),
    "retention": ("log", "deletions"),
    "compaction": ("log", "deletions", "compaction"),
    "groups": ("groups", "publishes"),
    "metadata": ("metadata",),
    "operations": ("changes",),
    "processing": ("processing", "publishes"),
}
"""Of workloads what they ask at least to judge their histories. What else a run asked, its verdict says (`checked`)."""


def definitions(text: str = chaos.checkers.__doc__ or "") -> dict[str, dict[str, str]]:
    """By checker, by anomaly: its meaning."""
    starts = [*SECTION.finditer(text)]
    ends = [*(start.start() for start in starts[1:]), len(text)]
    found: dict[str, dict[str, str]] = {}
    for start, end in zip(starts, ends, strict=False):
        before, mine = "", found.setdefault(start[1], {})
        for name, words in ITEM.findall(text[start.end() : end]):
            mine[name] = _sentence(" ".join(words.split()), before)
            before = name
    return {checker: anomalies for checker, anomalies in found.items() if anomalies}


def _sentence(words: str, before: str) -> str:
    """By itself: "the same" is the one before it."""
    words = re.sub(r"^the same\b", f'as "{before}"', words)
    return words[:1].upper() + words[1:]


DEFINITIONS = definitions()


def meaning(anomaly: str) -> str:
    """In a sentence or two; nothing of one that is not defined."""
    return next((named[anomaly] for named in DEFINITIONS.values() if anomaly in named), "")


def checked(workloads: Iterable[str], others: Iterable[str] = ()) -> dict[str, list[str]]:
    """By checker the anomalies that would have been told of in a run of these workloads; `others`: checkers besides."""
    names = dict.fromkeys(checker for workload in workloads for checker in CHECKERS.get(workload, ()))
    names |= dict.fromkeys(others)
    return {name: list(DEFINITIONS[name]) for name in names if name in DEFINITIONS}
