"""What a checker finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something that must not be. The names are defined in `chaos.checkers`."""

    name: str
    detail: str
    operations: tuple[int, ...] = ()
    """Numbers of the history's operations that prove it, as far as operations do."""


def proof(*operations: int | None) -> tuple[int, ...]:
    """Those that are known, each once, ascending."""
    return tuple(sorted({number for number in operations if number}))
