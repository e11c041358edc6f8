"""The library that stands between a node and its files (shim.c), and the words of memory that say what goes wrong.

It is compiled when it is first fitted, into a folder of the repository that git ignores, under a name with a checksum
of its source. Each node has a control file of its own, mapped by both sides: what is set counts from the node's next
call on, and holds for its next process, too.
"""

import hashlib
import mmap
import os
import shutil
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("shim.c")
BUILT = Path(__file__).parents[4] / ".tools" / "disks"
"""Ignored by git."""
CONTROL, ROOT = "RIVERRUN_DISK_CONTROL", "RIVERRUN_DISK_ROOT"
"""Names in the environment of a node: its control file, and the directory below which calls are looked at."""
SETTINGS = (
    "write_errno",
    "write_every",
    "short_every",
    "sync_errno",
    "sync_every",
    "sync_lie",
    "sync_delay_ms",
)
COUNTS = ("loaded", "writes_refused", "writes_short", "syncs_refused", "syncs_lied", "syncs_delayed")
_MAGIC = 0x4B445252
_WORD = struct.Struct("=I")
_ARMED_AT, _SETTINGS_AT, _COUNTS_AT, _ONLY_AT = 4, 8, 64, 128
_ONLY_BYTES = 128
_BYTES = _ONLY_AT + _ONLY_BYTES


def missing_for_shim() -> str:
    """Why the library cannot be compiled here; "" if it can."""
    return "" if shutil.which("cc") else "the disk's library is in C, and there is no cc on this machine"


def library() -> Path:
    """The library, compiled if it is not there yet. RuntimeError with the compiler's words."""
    path = BUILT / f"shim-{hashlib.sha256(SOURCE.read_bytes()).hexdigest()[:12]}.so"
    if path.exists():
        return path
    why = missing_for_shim()
    if why:
        raise RuntimeError(why)
    BUILT.mkdir(parents=True, exist_ok=True)
    new = path.with_suffix(f".{os.getpid()}")
    command = ["cc", "-O2", "-shared", "-fPIC", "-o", str(new), str(SOURCE), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr}")
    new.rename(path)
    return path


class Control:
    """What one node's library is told, and what it has counted."""

    def __init__(self, path: Path) -> None:
        """`path`: made, if it is not there; otherwise it is shared with whoever made it."""
        self.path = path
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(_WORD.pack(_MAGIC) + bytes(_BYTES - _WORD.size))
        with path.open("r+b") as file:
            self._memory = mmap.mmap(file.fileno(), _BYTES)

    def environment(self, below: Path) -> dict[str, str]:
        """For a process whose calls below a directory are to be looked at; LD_PRELOAD is not part of it."""
        return {CONTROL: str(self.path), ROOT: str(below)}

    def set(self, *, only: str = "", **settings: int) -> None:
        """From now on this goes wrong, and nothing else. Names: `SETTINGS`; `only` where this is part of the path."""
        assert set(settings) <= set(SETTINGS), f"the library knows nothing of {set(settings) - set(SETTINGS)}"
        assert len(only.encode()) < _ONLY_BYTES
        self._put(_ARMED_AT, 0)
        self._memory[_ONLY_AT : _ONLY_AT + _ONLY_BYTES] = only.encode().ljust(_ONLY_BYTES, b"\0")
        for place, name in enumerate(SETTINGS):
            self._put(_SETTINGS_AT + 4 * place, settings.get(name, 0))
        self._put(_ARMED_AT, int(any(settings.values())))

    def clear(self) -> None:
        """Nothing goes wrong any more."""
        self.set()

    def counts(self) -> dict[str, int]:
        """How often what happened, by the names of `COUNTS`; `loaded`: processes that had the library."""
        return {name: _WORD.unpack_from(self._memory, _COUNTS_AT + 4 * place)[0] for place, name in enumerate(COUNTS)}

    def close(self) -> None:
        """Let go of the memory; the file stays with the run."""
        self._memory.close()

    def _put(self, place: int, value: int) -> None:
        _WORD.pack_into(self._memory, place, value)
