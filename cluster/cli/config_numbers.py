"""Which numbers of a configuration make sense: one rule for all fields, and a few that go with each other."""

import dataclasses
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cluster.errors import RefusedToStart

MAY_BE_ZERO = {
    "catch_up_pause",
    "expiry_warning_s",
    "hand_over_s_max",
    "idle_ticks_before_sleep",
    "metric_groups_max",
    "metric_topics_max",
    "moves_max",
    "stop_notice_s",
    "workers_max",
}
"""Each field's docstring says what 0 is there; all others are above it."""
AT_MOST = {"stop_notice_s": 4}
BELOW = {"heartbeat_ticks": "election_ticks_min", "keepalive_s": "lost_after_s"}


def refuse_senseless(config: Any, path: Path, inside: str = "") -> None:
    """RefusedToStart with the first number that makes none: one that is not finite, too small, or out of order.

    What ends in `_min` is at most what ends in `_max` and is called the same.
    """
    numbers = {name: value for name, value in _fields(config) if isinstance(value, int | float)}
    for name, value in numbers.items():
        fault = _fault(name, value, numbers)
        if fault:
            raise RefusedToStart(f"the configuration {path} has {inside}{name} = {value}: it must be {fault}")
    for name, value in _fields(config):
        for table in value if isinstance(value, tuple) else (value,):
            if dataclasses.is_dataclass(table):
                refuse_senseless(table, path, f"{inside}{name}.")


def _fault(name: str, value: float, numbers: dict[str, float]) -> str:
    """What it is not and has to be; empty if nothing is wrong."""
    if not math.isfinite(value) or value < 0 or (value == 0 and name not in MAY_BE_ZERO):
        finite = "" if math.isfinite(value) else ", and a finite number"
        return ("0 or more" if name in MAY_BE_ZERO else "above 0") + finite
    if value > AT_MOST.get(name, math.inf):
        return f"at most {AT_MOST[name]}"
    other = name.removesuffix("_min") + "_max"
    if name.endswith("_min") and value > numbers.get(other, math.inf):
        return f"at most {other}, {numbers[other]}"
    other = BELOW.get(name, "")
    if value >= numbers.get(other, math.inf):
        return f"below {other}, {numbers[other]}"
    return ""


def _fields(config: Any) -> Iterator[tuple[str, Any]]:
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if not isinstance(value, bool):
            yield field.name, value
