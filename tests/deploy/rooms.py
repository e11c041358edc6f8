"""What a container would be, without an engine: a root of its own over this machine's, read-only, and a network place.

The root is an overlay: what a room is given lies in it at its real path, and all else is this machine's. So what the
manifests say is run as it stands, with the paths, ports, names and user that they say. It takes root.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from chaos.arenas.processes.netspace.namespaces import find_ip

COMPOSE = Path(__file__).parents[2] / "deploy" / "compose"
PREPARE = """
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /mnt
mkdir /mnt/upper /mnt/work /mnt/root
mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work /mnt/root
root=/mnt/root
mount --rbind /proc $root/proc
mount --rbind /dev $root/dev
folder=$PYTHON_FOLDER
while [ "$folder" != / ]; do chmod o+rx "$root$folder"; folder=$(dirname "$folder"); done
cp -a "$FILES/." $root/
for pair in $BINDS; do
    mkdir -p "$root${pair#*:}"
    mount --bind "${pair%%:*}" "$root${pair#*:}"
done
if [ -n "$READ_ONLY" ]; then
    mount -t tmpfs -o mode=1777 tmpfs $root/tmp
    mount -o remount,ro $root
fi
exec chroot $root /usr/bin/env -i -C "$FOLDER" "$@"
"""
USER = 10001
AS_NOBODY = (
    "setpriv",
    f"--reuid={USER}",
    f"--regid={USER}",
    "--clear-groups",
    "--no-new-privs",
    "--bounding-set=-all",
    "--inh-caps=-all",
)


def own(folder: Path) -> None:
    """Who runs in a room may write there."""
    os.chown(folder, USER, USER)


def why_not() -> str:
    """Why no room can be made here; empty: it can."""
    if os.geteuid():
        return "rooms need root"
    missing = [tool for tool in ("unshare", "chroot", "setpriv", "mount") if shutil.which(tool) is None]
    return f"missing: {', '.join(missing)}" if missing else ""


@dataclass
class Room:
    """A root with some files and directories of its own; each command in it gets it anew, but for what is bound."""

    files: Path
    """A tree that is laid over the machine's root."""
    binds: Mapping[Path, str] = field(default_factory=dict)
    """Directories, and where they are in the room: what is written there stays."""
    space: str = ""
    """The network namespace; empty: this machine's."""

    def give(self, path: str, content: str, mode: int = 0o644) -> None:
        """A file at that path."""
        place = self.files / path.lstrip("/")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text(content)
        place.chmod(mode)

    def command(
        self, words: Sequence[str], environment: Mapping[str, str], *, nobody: bool = True, folder: str = "/"
    ) -> tuple[list[str], dict[str, str]]:
        """What to run, and with which environment, so that `words` run inside with this environment and no other."""
        tool = find_ip()
        enter = [str(tool), "netns", "exec", self.space] if self.space else []
        settings = [f"{name}={value}" for name, value in environment.items()]
        who = AS_NOBODY if nobody else ()
        outside = {
            **os.environ,
            "FILES": str(self.files),
            "BINDS": " ".join(f"{there}:{here}" for there, here in self.binds.items()),
            "READ_ONLY": "yes" if nobody else "",
            "PYTHON_FOLDER": str(Path(sys.base_prefix)),
            "FOLDER": folder,
        }
        # `env` of the room looks the program up in the PATH that it is told, as a container's runtime does
        inner = [*settings, *who, *words]
        return [*enter, "unshare", "--mount", "sh", "-c", PREPARE, "room", *inner], outside

    def run(
        self,
        words: Sequence[str],
        environment: Mapping[str, str],
        *,
        nobody: bool = True,
        folder: str = "/",
        stdin: str = "",
        within_s: float = 60.0,
    ) -> "subprocess.CompletedProcess[str]":
        """Until it ends."""
        command, outside = self.command(words, environment, nobody=nobody, folder=folder)
        return subprocess.run(
            command, env=outside, capture_output=True, text=True, check=False, input=stdin, timeout=within_s
        )

    def start(self, words: Sequence[str], environment: Mapping[str, str], *, log: Path) -> "subprocess.Popen[bytes]":
        """A process of its own; its pid is that of the program."""
        command, outside = self.command(words, environment)
        with log.open("ab") as output:
            return subprocess.Popen(
                command,
                env=outside,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
