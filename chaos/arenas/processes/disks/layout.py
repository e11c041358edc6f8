"""Where a node's files are, by what they are: what damage at rest picks from.

Folds (the state of producers, groups and tasks that a log adds up to) stand at the heads of segments, so they are
damaged with the log; an index beside a segment there is none: it is made in memory when the segment is read.
"""

import re
from dataclasses import dataclass
from pathlib import Path

PATTERNS = {
    "log": "replicas/*/*/*.log",
    "vote": "replicas/*/*/vote",
    "journal": "controller/journal",
    "state": "replicas/*/*/state.*",
}
ZEROS = 256
"""So many in a row are room, no content."""
MEMORY_OF_OTHERS = "-shm"
"""SQLite's shared memory: made anew at each start."""
_REPLICA = re.compile(r"replicas/([0-9a-f]{32})/(\d+)-(\d+)/")


@dataclass(frozen=True, slots=True)
class Kept:
    """One file below a data directory."""

    path: Path
    name: str
    """Relative to the data directory."""
    spans: tuple[tuple[int, int], ...]
    """From where to where there are bytes: what lies between is zeros, reserved."""

    @property
    def used(self) -> int:
        """Bytes in all spans."""
        return sum(end - begin for begin, end in self.spans)

    def position(self, fraction: float) -> int:
        """The byte at that fraction of what is used."""
        left = int(fraction * self.used)
        for begin, end in self.spans:
            if left < end - begin:
                return begin + left
            left -= end - begin
        return self.spans[-1][1] - 1

    @property
    def partition(self) -> str:
        """Whose it is, as nodes' logs write it; "" for what is no replica's."""
        found = _REPLICA.match(self.name)
        return f"{found[1][:8]}/{found[2]}" if found else ""


def files_of(data_dir: Path, what: str) -> list[Kept]:
    """Files of that kind which hold something, in the order of their names."""
    found = []
    for path in sorted(data_dir.glob(PATTERNS[what])):
        spans = spans_of(path.read_bytes())
        if spans and not path.name.endswith(MEMORY_OF_OTHERS):
            found.append(Kept(path, str(path.relative_to(data_dir)), spans))
    return found


def spans_of(data: bytes) -> tuple[tuple[int, int], ...]:
    """Where there are bytes that are not zeros, or only few zeros in between."""
    spans = []
    position = 0
    while position < len(data):
        gap = data.find(bytes(ZEROS), position)
        end = len(data) if gap < 0 else gap
        begin = end - len(data[position:end].lstrip(b"\0"))
        if begin < end:
            spans.append((begin, end))
        position = end + ZEROS
    return tuple(spans)
