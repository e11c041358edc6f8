"""Kill what is connected, and who is connected to it, at random moments; what is committed in the end is for the test.

`kill_source` and `kill_sink` run `host.py`, which calls a connector as its real host does, and kill that process and
the peer at `points` random moments each, in a random order. All chance comes of `seed`, which a failure names.
"""

import contextlib
import os
import pickle
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol, Self

from cluster.connectors.contract import Arrival, Delivery, SinkOptions, SourceOptions
from tests.connectors.host import Job, Ledger

ROOT = Path(__file__).parents[2]
UP_S_MAX = 20.0
"""A host has begun by then."""
FROZEN_S = 1.5
"""So long somebody who is frozen may keep his successor from beginning."""
MOMENT_S_MAX = 0.3
STEPS_MAX = 6
STEPS_S_MAX = 0.7
"""A kill waits so long at most for something to happen before it."""
LOOK_S = 0.01
FEED_S_MAX = 30.0


class Killable(Protocol):
    """A peer."""

    def kill(self) -> None:
        """End it at once, as a power failure would. Nothing happens if it is not there."""

    def start(self) -> None:
        """On the same data and port as before; when it returns connections are accepted."""


def kill_source(
    options: SourceOptions,
    *,
    truth_done: Callable[[list[Arrival]], bool],
    peer: Killable,
    points: int,
    seed: int,
    feed: Callable[[], None] | None = None,
    share: str = "",
    zombies: bool = False,
    wait_s: float = 40.0,
) -> list[Arrival]:
    """All that was committed, in order.

    `feed` makes a little of what is to be captured, over and over in a thread of its own until the kills are done, and
    copes with a peer that is away. Then `truth_done` is asked with what is committed until it says yes; AssertionError
    after `wait_s` without that. `zombies`: some hosts are not killed but frozen, and go on when another has taken over.
    """
    job = Job(identity=f"kills-{seed}", seed=seed, source=options, share=share)
    with _Run(job, peer, seed) as run:
        with run.feeding(feed):
            run.kill_all(points, zombies=zombies)
        run.wait(lambda: truth_done(run.records()), wait_s, "the truth is not there")
        return run.records()


def kill_sink(
    options: SinkOptions,
    deliveries: Sequence[Delivery],
    *,
    peer: Killable,
    points: int,
    seed: int,
    lanes: int = 1,
    zombies: bool = False,
    wait_s: float = 40.0,
) -> None:
    """Write them all through the kills; what is at the destination then is for the caller to look at.

    Their offsets rise. They are dealt out to `lanes` by key; pieces are of up to 50, and end elsewhere each time.
    """
    dealt: dict[str, list[Delivery]] = defaultdict(list)
    for delivery in deliveries:
        dealt[f"kills-{seed}/topic/{zlib.crc32(delivery.key or b'') % lanes}"].append(delivery)
    job = Job(identity=f"kills-{seed}", seed=seed, sink=options, lanes=dict(dealt))
    with _Run(job, peer, seed) as run:
        run.kill_all(points, zombies=zombies)
        run.wait(run.ended, wait_s, "not everything is written")


class _Run:
    """The processes of one call, and their files."""

    def __init__(self, job: Job, peer: Killable, seed: int) -> None:
        self._job, self._peer, self._seed = job, peer, seed
        self._chance = random.Random(seed)
        self._hosts: list[subprocess.Popen[bytes]] = []
        self._frozen: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._folder = tempfile.TemporaryDirectory(prefix="riverrun-kills-")
        self.directory = Path(self._folder.name)
        self._ledger = Ledger(self.directory)
        (self.directory / "job").write_bytes(pickle.dumps(self._job))
        self.allow(0.0)
        return self

    def __exit__(self, *_: object) -> None:
        for host in self._hosts:
            host.kill()
            host.wait()
        self._folder.cleanup()

    def allow(self, share: float) -> None:
        """A sink's host may write so much of everything by now."""
        beside = self.directory / "allowed.new"
        beside.write_text(str(share))
        beside.replace(self.directory / "allowed")

    def records(self) -> list[Arrival]:
        """What a source's hosts have committed."""
        return [record for commit in self._ledger.commits() for record in commit.records]

    def ended(self) -> bool:
        """The source has ended, or all is written."""
        return any(commit.ended for commit in self._ledger.commits()[-1:])

    @contextlib.contextmanager
    def feeding(self, feed: Callable[[], None] | None) -> Iterator[None]:
        """While the kills are done."""
        enough, failures = threading.Event(), []

        def work() -> None:
            try:
                while feed is not None and not enough.wait(0.001):
                    feed()
            except BaseException as failure:  # noqa: BLE001  told by whoever waits for the thread
                failures.append(failure)

        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        try:
            yield
        finally:
            enough.set()
            thread.join(FEED_S_MAX)
        assert not failures, self._failure(f"feed: {failures!r}")
        assert not thread.is_alive(), self._failure("feed does not end")

    def kill_all(self, points: int, *, zombies: bool) -> None:
        """Everybody in turn; then a host is left that goes on."""
        victims = ["host", "peer"] * points
        self._chance.shuffle(victims)
        self._begin()
        for number, victim in enumerate(victims, 1):
            self.allow(number / (len(victims) + 1))
            self._moment()
            if victim == "peer":
                self._peer.kill()
                time.sleep(self._chance.choice([0, 0.1]))
                self._peer.start()
            elif zombies and not self._frozen and self._chance.random() < 0.4:
                self._hosts[-1].send_signal(signal.SIGSTOP)
                self._frozen.append(self._hosts[-1])
                self._begin()
            else:
                self._hosts[-1].kill()
                self._begin()
        self._thaw()
        self.allow(1.0)

    def _moment(self) -> None:
        """A random one: soon, or after something more has happened."""
        if self._chance.random() < 0.5:
            time.sleep(self._chance.uniform(0, MOMENT_S_MAX))
        else:
            wanted = self._ledger.steps() + self._chance.randint(1, STEPS_MAX)
            end = time.perf_counter() + STEPS_S_MAX
            while self._ledger.steps() < wanted and time.perf_counter() < end:
                time.sleep(LOOK_S)
                self._look()
        if self._chance.random() < 0.5:
            self._thaw()

    def _thaw(self) -> None:
        for host in self._frozen:
            host.send_signal(signal.SIGCONT)
        self._frozen.clear()

    def _begin(self) -> None:
        """A host; when this returns it has taken over. Who was frozen in the middle of a commit has to end it first."""
        owner = self._ledger.owner()
        with (self.directory / "log").open("ab") as log:
            command = [sys.executable, "-m", "tests.connectors.host", str(self.directory)]
            self._hosts.append(subprocess.Popen(command, cwd=ROOT, stderr=log, env={**os.environ}))
        end = time.perf_counter() + UP_S_MAX
        while self._ledger.owner() == owner:
            assert time.perf_counter() < end, self._failure("a host does not begin")
            self._look()
            if time.perf_counter() > end - UP_S_MAX + FROZEN_S:
                self._thaw()
            time.sleep(LOOK_S)

    def _look(self) -> None:
        """The last host may only end when it is done."""
        code = self._hosts[-1].poll()
        assert code is None or (code == 0 and self.ended()), self._failure(f"the host ended ({code})")

    def wait(self, done: Callable[[], bool], wait_s: float, otherwise: str) -> None:
        """Until it says so."""
        end = time.perf_counter() + wait_s
        while not done():
            self._look()
            assert time.perf_counter() < end, self._failure(f"{otherwise} after {wait_s} s")
            time.sleep(5 * LOOK_S)

    def _failure(self, what: str) -> str:
        told = (self.directory / "log").read_text(errors="replace") if (self.directory / "log").exists() else ""
        return f"seed {self._seed}: {what}\n{told[-4000:]}"
