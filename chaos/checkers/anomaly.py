"""What a checker finds."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Anomaly:
    """Something that must not be."""

    name: str
    detail: str
