"""Network namespaces of one run: their names, addresses and wires, made and removed.

Nothing is put into the machine's own namespace, not for a moment: devices are made where they belong. Names hold the
process id of the run and a number within it, so that two runs never meet; the addresses are of the namespaces alone.
"""

import contextlib
import ctypes
import fcntl
import os
import shutil
import signal
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

CLIENTS = 250
"""The last byte of the address of whoever uses the nodes."""
DEVICE = "eth0"
MTU = 1400
COMMAND_S_MAX = 20.0
_TUN_SET_INTERFACE, _TUN, _WITHOUT_HEADER = 0x400454CA, 0x0001, 0x1000
_NEW_NETWORK = 0x40000000


def find_ip() -> str | None:
    """The tool `ip`; `sbin` is not on everybody's path."""
    return shutil.which("ip", path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """What the namespaces of one run are called, and where they are."""

    run: str
    """`riverrun-PID-NUMBER`."""
    net: str
    """The first three bytes of all addresses."""
    nodes: tuple[int, ...]

    @classmethod
    def of(cls, process: int, number: int, nodes: tuple[int, ...]) -> "Names":
        """Of the fitting with that number in the process."""
        return cls(
            run=f"riverrun-{process}-{number}", net=f"10.{64 + (process >> 8) % 64}.{process % 256}", nodes=nodes
        )

    @property
    def places(self) -> tuple[int, ...]:
        """Last bytes of all addresses: the nodes' and the clients'."""
        return (*self.nodes, CLIENTS)

    @property
    def wires(self) -> str:
        """The namespace of the bridge."""
        return f"{self.run}-wires"

    def space(self, place: int) -> str:
        """Its namespace."""
        return f"{self.run}-clients" if place == CLIENTS else f"{self.run}-node-{place}"

    def address(self, place: int) -> str:
        """Its IP address."""
        return f"{self.net}.{place}"

    def all_spaces(self) -> list[str]:
        """Every namespace that there may be."""
        return [*map(self.space, self.places), self.wires]


def ip(*arguments: str) -> str:
    """Run `ip`; what it says. RuntimeError with its words if it refuses."""
    tool = find_ip()
    if tool is None:
        raise RuntimeError("the tool `ip` is missing (Debian's package iproute2)")
    done = subprocess.run([tool, *arguments], capture_output=True, text=True, check=False, timeout=COMMAND_S_MAX)
    if done.returncode:
        raise RuntimeError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


def why_not() -> str:
    """Why no namespaces can be made here; "" if they can: one is made and removed."""
    if os.geteuid():
        return "network namespaces need root"
    name = f"riverrun-{os.getpid()}-trial"
    try:
        ip("netns", "add", name)
        ip("netns", "del", name)
    except RuntimeError as error:
        return f"no network namespace can be made here: {error}"
    return ""


def make_spaces(names: Names) -> None:
    """One for each place; nothing connects them yet."""
    for place in names.places:
        space = names.space(place)
        ip("netns", "add", space)
        ip("-n", space, "link", "set", "lo", "up")


def make_bridge(names: Names) -> None:
    """A bridge in a namespace of its own, and a cable from it to each place: the kernel's own speed."""
    ip("netns", "add", names.wires)
    ip("-n", names.wires, "link", "add", "bridge", "type", "bridge")
    ip("-n", names.wires, "link", "set", "bridge", "up")
    for place in names.places:
        space, port = names.space(place), f"port{place}"
        ip("-n", names.wires, "link", "add", port, "type", "veth", "peer", "name", DEVICE, "netns", space)
        ip("-n", names.wires, "link", "set", port, "master", "bridge", "up")
        _bring_up(names, place)


def make_tunnels(names: Names) -> dict[int, int]:
    """A TUN device in each place; the descriptors of their other ends."""
    ends = {}
    for place in names.places:
        with inside(names.space(place)):
            end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            fcntl.ioctl(end, _TUN_SET_INTERFACE, struct.pack("16sH", DEVICE.encode(), _TUN | _WITHOUT_HEADER))
        ip("-n", names.space(place), "link", "set", DEVICE, "mtu", str(MTU), "txqueuelen", "1000")
        _bring_up(names, place)
        ends[place] = end
    return ends


def _bring_up(names: Names, place: int) -> None:
    space = names.space(place)
    ip("-n", space, "address", "add", f"{names.address(place)}/24", "dev", DEVICE)
    ip("-n", space, "link", "set", DEVICE, "up")


@contextlib.contextmanager
def inside(space: str) -> Iterator[None]:
    """New sockets and devices of this thread are made there meanwhile."""
    back = os.open("/proc/self/ns/net", os.O_RDONLY | os.O_CLOEXEC)
    there = os.open(f"/run/netns/{space}", os.O_RDONLY | os.O_CLOEXEC)
    try:
        _enter(there)
        try:
            yield
        finally:
            _enter(back)
    finally:
        os.close(there)
        os.close(back)


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)  # os.setns came with Python 3.12
    if libc.setns(descriptor, _NEW_NETWORK):
        code = ctypes.get_errno()
        raise OSError(code, f"setns: {os.strerror(code)}")


def remove_spaces(names: Names) -> None:
    """End what still runs inside, which can only be of this run, and remove them; what is not there is passed over."""
    for space in names.all_spaces():
        if not Path("/run/netns", space).exists():
            continue
        with contextlib.suppress(RuntimeError):
            for process in ip("netns", "pids", space).split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(process), signal.SIGKILL)
        with contextlib.suppress(RuntimeError):
            ip("netns", "del", space)
