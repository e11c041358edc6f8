"""What the figures were measured on, and whether the data really lies on a disk."""

import os
import platform
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

NOT_DISKS = {"tmpfs", "ramfs", "devtmpfs"}
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Mount:
    """Where a directory lies."""

    device: str
    kind: str


def mount_of(directory: Path) -> Mount:
    """The file system below a directory; RuntimeError if it is memory."""
    best = ("", Mount("?", "?"))
    for line in Path("/proc/self/mounts").read_text().splitlines():
        device, point, kind, *_ = line.split()
        covers = str(directory) == point or str(directory).startswith(point.rstrip("/") + "/")
        if covers and len(point) >= len(best[0]):
            best = (point, Mount(device, kind))
    if best[1].kind in NOT_DISKS:
        raise RuntimeError(f"{directory} lies in memory ({best[1].kind}): choose another with --data-dir")
    return best[1]


def machine(directory: Path) -> str:
    """One line for the table."""
    mount = mount_of(directory)
    names = [
        line.split(":")[1].strip() for line in Path("/proc/cpuinfo").read_text().splitlines() if "model name" in line
    ]
    memory_gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"{os.cpu_count()} cores, {names[0] if names else platform.machine()}, {memory_gib:.0f} GiB, "
        f"{mount.kind} on {mount.device}, Linux {platform.release()}, Python {platform.python_version()}, "
        f"grpcio {version('grpcio')}"
    )


def cpu_s(pid: int) -> float:
    """What a process has used so far, in user and system."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def children() -> set[int]:
    """The processes that this one has started and that are there."""
    found = set()
    for thread in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (thread / "children").read_text().split()}
    return found
