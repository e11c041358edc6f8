"""File systems of a run's own: ext4 in a file behind a loop device, whose power can fail. Root only.

What was not synced is gone after `fail_power` (FS_IOC_SHUTDOWN, which xfstests' `godown` uses): pages that were not
written stay unwritten, the journal is not flushed, whoever still has files open gets EIO, and the next mount replays
what had reached the journal.
"""

import atexit
import contextlib
import fcntl
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

FS_IOC_SHUTDOWN = 0x8004587D
"""_IOR('X', 125, __u32): from here on the file system answers EIO, as if the disk had been pulled out."""
WITHOUT_FLUSHING_THE_JOURNAL = 2
TOOLS = ("mkfs.ext4", "losetup", "mount", "umount")
COMMIT_S = 600
"""The kernel writes the journal by itself only so often: what a node does not sync is at stake for as long."""
BUSY_S_MAX = 10.0
"""For processes that have ended to let go of their files."""
PATIENCE_S = 60


def missing_for_mounting() -> str:
    """Why file systems cannot be mounted here; "" if they can."""
    if os.geteuid():
        return "file systems are mounted by root only"
    lacking = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"{', '.join(lacking)}: no such program here" if lacking else ""


def missing_for_loops(count: int) -> str:
    """Why there cannot be so many loop disks now; "" if there can."""
    why = missing_for_mounting()
    if why:
        return why
    taken, free = _loop_devices()
    if len(free) < count:
        return (
            f"{count} loop devices are needed, and {len(free)} of {len(taken) + len(free)} are free"
            f"{' (others: ' + ', '.join(sorted(taken.values())) + ')' if taken else ''}"
        )
    return ""


def _loop_devices() -> tuple[dict[str, str], list[str]]:
    """Those in use, by the file behind them, and those that are free."""
    taken, free = {}, []
    for device in Path("/sys/block").glob("loop*"):
        if not Path("/dev", device.name).exists():
            continue
        try:
            taken[device.name] = (device / "loop" / "backing_file").read_text().strip()
        except OSError:
            free.append(device.name)
    return taken, free


def run(*command: str) -> str:
    """What it printed; RuntimeError with its own words if it failed."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
    except FileNotFoundError:
        raise RuntimeError(f"{command[0]}: no such program here") from None
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


_DISKS: "dict[Path, LoopDisk]" = {}
"""Of this process, by where they are mounted."""


class LoopDisk:
    """ext4 in a file, mounted; its power can fail without what was not synced. All calls block.

    It is taken away by `remove`, or else at the end of this process.
    """

    def __init__(self, image: Path, mount: Path, mib: int) -> None:
        """RuntimeError: it cannot be had here."""
        why = missing_for_loops(1)
        if why:
            raise RuntimeError(why)
        self._image = image
        self.path = mount
        mount.mkdir(parents=True, exist_ok=True)
        with image.open("wb") as file:
            file.truncate(mib << 20)
        run("mkfs.ext4", "-q", "-F", "-m", "0", str(image))  # nothing kept for root: nodes may run as root
        self._device = ""
        atexit.register(self.remove)
        _DISKS[mount.resolve()] = self
        try:
            self.attach()
        except RuntimeError:
            self.remove()
            raise

    @staticmethod
    def below(path: str | Path) -> "LoopDisk | None":
        """The disk on which a path lies, if it is one of this process's."""
        return next((_DISKS[folder] for folder in Path(path).resolve().parents if folder in _DISKS), None)

    @property
    def mounted(self) -> bool:
        """Whether it is there."""
        return self.path.is_mount()

    def attach(self) -> None:
        """Mount it; the journal is replayed.

        On a device of its own each time: a namespace that somebody else made meanwhile has a mount of the old one,
        which keeps the file system as it was, shut down.
        """
        self._device = run("losetup", "--find", "--show", str(self._image)).strip()
        run("mount", "-t", "ext4", "-o", f"commit={COMMIT_S}", self._device, str(self.path))

    def detach(self) -> None:
        """Nobody uses it any more: unmounted. RuntimeError if somebody does."""
        deadline = time.monotonic() + BUSY_S_MAX  # noqa: TID251  outside of the cluster
        while True:
            try:
                run("umount", str(self.path))
            except RuntimeError:
                if time.monotonic() > deadline:  # noqa: TID251
                    raise
                time.sleep(0.05)
            else:
                self._detach_device()
                return

    def _detach_device(self) -> None:
        with contextlib.suppress(RuntimeError):
            if _loop_devices()[0].get(Path(self._device).name, "").startswith(str(self._image.resolve())):
                run("losetup", "--detach", self._device)

    def fail_power(self) -> None:
        """Everything that was not synced is gone."""
        with self.descriptor() as descriptor:
            shut_down(descriptor)

    @contextlib.contextmanager
    def descriptor(self) -> Iterator[int]:
        """Of its root directory, while the block lasts: what `shut_down` takes."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)

    def remove(self) -> None:
        """Nothing is left of it, whatever state it is in. May be called again."""
        atexit.unregister(self.remove)
        _DISKS.pop(self.path.resolve(), None)
        with contextlib.suppress(RuntimeError):
            if self.mounted:
                run("umount", "--lazy", str(self.path))
        self._detach_device()
        self._image.unlink(missing_ok=True)


def shut_down(descriptor: int) -> None:
    """Of the file system of an open directory; RuntimeError if this system cannot."""
    try:
        fcntl.ioctl(descriptor, FS_IOC_SHUTDOWN, WITHOUT_FLUSHING_THE_JOURNAL.to_bytes(4, "little"))
    except OSError as error:
        raise RuntimeError(f"this system cannot shut a file system down: {error}") from error
