"""What each anomaly means, in a sentence, and which checker looks for it; for the page of a run.

A workload's checkers look at its history alone; those of the arena look at every run (`EVERY`).
"""

from collections.abc import Iterable

EVERY = "every run"
LOG = ("log", "retention", "compaction")
"""Workloads whose topics are judged as a log."""

MEANINGS: dict[str, dict[str, str]] = {
    "log": {
        "lost write": "A record was acknowledged, or read by somebody, and is not there at the end.",
        "unseen": "A record was acknowledged, and neither it nor anything behind it was there at the end.",
        "duplicate": "One record stands at two offsets.",
        "inconsistent offsets": "Two records were seen at one offset of one partition.",
        "aborted read": "A record was read whose sender had been told that it was definitely not written.",
        "phantom read": "A record was read that nobody had sent.",
        "changed record": "A record was read with another key than it was sent with.",
        "poll skip": "A reader was given an offset without the one before it.",
        "nonmonotonic poll": "A reader was given an offset that is not behind the one before it.",
        "nonmonotonic send": "One client's records of one key stand in another order than they were sent in.",
        "real-time inversion": "A record stands before one that was acknowledged before it was sent.",
        "broken condition": "A record that was sent on condition of the partition's end stands somewhere else.",
    },
    "deletions": {
        "deleted came back": "A partition began at an offset that had been deleted before.",
        "deleted too much": "More is gone than anybody asked for.",
        "not deleted": "What was acknowledged as deleted is there.",
        "wrong start": "A partition does not begin where it says that it does.",
    },
    "compaction": {
        "tombstone gone early": "A deletion of a key is gone before its time.",
        "came back": "A key has its old value again after its deletion is gone.",
    },
    "groups": {
        "skipped": "A record was given to no member of a group.",
        "disordered": "A member was given a partition's records in another order than they stand in.",
        "given again": "A record was given again after a position behind it had been committed.",
        "not fenced": "A commit of an old generation was taken after one of a newer generation.",
    },
}
"""By checker (`chaos/checkers`)."""

CHECKERS = {
    **{name: ("log", "deletions", "compaction") if name != "log" else ("log", "deletions") for name in LOG},
    "groups": ("log", "groups"),
}
"""Of workloads: the checkers that judge them."""


def meaning(anomaly: str) -> str:
    """In a sentence; nothing of one that is not known here."""
    return next((named[anomaly] for named in MEANINGS.values() if anomaly in named), "")


def checked(workloads: Iterable[str]) -> dict[str, list[str]]:
    """By checker the anomalies that would have been told of, in a run of these workloads; as far as is known here."""
    names = dict.fromkeys(checker for workload in workloads for checker in CHECKERS.get(workload, ()))
    return {name: list(MEANINGS[name]) for name in names}
