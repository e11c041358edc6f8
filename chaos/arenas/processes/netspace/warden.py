"""A process that makes a run's namespaces, is the switch between them, and takes them away: `python -m …warden`.

It is told what to do on its standard input, one JSON object a line, and answers each with one on its standard output.
When the input ends, because the run says so or because it is no more, however it went, everything inside is ended and
removed. So nothing outlives the run but if this process is killed, too.

First line: run, net, nodes (see `Names`), wiring ("switch" or "bridge"), seed, folder (a directory that goes with the
run), relays (path of a unix socket in it → [host, port]). Answer: {"ready": true} or {"error": sentence}.
Then: {"effects": [[from, to, {…}], …]} replaces all effects, {} changes none. Answer: {"counts": {…}}.
"""

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

from chaos.arenas.processes.netspace.fabric import Effects, Fabric
from chaos.arenas.processes.netspace.namespaces import (
    CLIENTS,
    Names,
    find_ip,
    make_bridge,
    make_spaces,
    make_tunnels,
    remove_spaces,
)

PACKETS_PER_LOOK = 64
"""Taken from one device before the others are looked at."""
PACKET_BYTES_MAX = 4096
RELAY_MODULE = "chaos.arenas.processes.netspace.relay"


def main() -> int:
    """Until the input ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for the run, which ends this one in its own time
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    first = sys.stdin.buffer.readline()
    if not first:
        return 0
    said = json.loads(first)
    names = Names(run=said["run"], net=said["net"], nodes=tuple(said["nodes"]))
    with contextlib.ExitStack() as end:
        end.callback(shutil.rmtree, said["folder"], ignore_errors=True)
        end.callback(remove_spaces, names)
        try:
            make_spaces(names)
            ends = make_tunnels(names) if said["wiring"] == "switch" else {}
            if not ends:
                make_bridge(names)
            end.enter_context(_relay(names, said["relays"]))
        except (RuntimeError, OSError, subprocess.SubprocessError) as error:
            _say({"error": f"the namespaces cannot be made: {error}"})
            return 1
        _say({"ready": True})
        Switch(ends, Fabric(said["seed"])).run()
    return 0


@contextlib.contextmanager
def _relay(names: Names, relays: dict[str, Any]) -> Iterator[None]:
    """It runs where the clients are; up when it says so."""
    tool = find_ip()
    assert tool is not None, "it was there to make the namespaces"
    relay = subprocess.Popen(
        [tool, "netns", "exec", names.space(CLIENTS), sys.executable, "-m", RELAY_MODULE, json.dumps(relays)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert relay.stdin is not None
    assert relay.stdout is not None
    try:
        if not relay.stdout.readline():
            raise RuntimeError("the relay ended")
        yield
    finally:
        relay.stdin.close()
        relay.kill()
        relay.wait()
        relay.stdout.close()


def _say(answer: dict[str, Any]) -> None:
    with contextlib.suppress(BrokenPipeError):
        os.write(sys.stdout.fileno(), json.dumps(answer).encode() + b"\n")


class Switch:
    """Takes packets from each device and hands them to the others when the fabric says so."""

    def __init__(self, ends: dict[int, int], fabric: Fabric) -> None:
        self._ends = ends
        self._places = {end: place for place, end in ends.items()}
        self._fabric = fabric
        self._input = sys.stdin.fileno()
        self._said = b""

    def run(self) -> None:
        """Until the input ends."""
        os.set_blocking(self._input, False)
        poll = select.poll()
        for descriptor in (self._input, *self._places):
            poll.register(descriptor, select.POLLIN)
        while True:
            next_s = self._fabric.next_s()
            wait_s = None if next_s is None else max(0.0, next_s - _now_s())
            for descriptor, _ in poll.poll(None if wait_s is None else wait_s * 1000):
                if descriptor != self._input:
                    self._take(descriptor)
                elif not self._listen():
                    return
            for place, packet in self._fabric.due(_now_s()):
                if (end := self._ends.get(place)) is not None:
                    with contextlib.suppress(OSError):  # the device's queue is full: lost, as anywhere
                        os.write(end, packet)

    def _take(self, descriptor: int) -> None:
        place = self._places[descriptor]
        for _ in range(PACKETS_PER_LOOK):
            try:
                packet = os.read(descriptor, PACKET_BYTES_MAX)
            except OSError:
                return
            self._fabric.take(place, packet, _now_s())

    def _listen(self) -> bool:
        """Whether there may be more to hear."""
        try:
            heard = os.read(self._input, 1 << 16)
        except BlockingIOError:
            return True
        if not heard:
            return False
        *lines, self._said = (self._said + heard).split(b"\n")
        for line in lines:
            said = json.loads(line)
            if "effects" in said:
                self._fabric.effects = {(source, target): Effects(**plain) for source, target, plain in said["effects"]}
            _say({"counts": self._fabric.counts})
        return True


def _now_s() -> float:
    return time.monotonic()  # noqa: TID251  no world here: this stands between processes


if __name__ == "__main__":
    sys.exit(main())
