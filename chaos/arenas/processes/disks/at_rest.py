"""Damage at rest: a node is killed, one of its files is damaged, and when it is mended it starts and has to notice.

Always the same node's in a run, the one that the options name: of what a majority has damaged nothing can be promised.

What is right depends on the file (cluster/log, DESIGN §5 and §6): a damaged log is reported, set aside and fetched
again from the others; of a vote one damaged copy is made good by the other, and a lost vote is a lost replica; a
damaged journal of the controller is a refusal to start; a damaged state of a task is fetched anew. Where a node
refuses, or gives a replica up, somebody has to act: here the good copy of the file is put back, as from a backup that
was made while the node was down, and the node is started again. That is counted.
"""

import asyncio
import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chaos.arenas.arena import HitNobody, Mend
from chaos.arenas.processes.disks.catching_up import caught_up
from chaos.arenas.processes.disks.damage import Wound, wound
from chaos.arenas.processes.disks.layout import Kept, files_of
from chaos.arenas.processes.fitting import Nodes

READY_S_MAX = 30.0
NOTICED_S_MAX = 30.0
"""After its start: a replica's files are looked at when the node has heard from the controller, and all are read."""
LOOK_S = 0.05
NODE_LOG = "node.log"
READY, REFUSED, GIVEN_UP = "node_ready", "node_refused", "replica_lost"
NOTICES = {"log_damaged", "log_doubtful", "vote_damaged", "task_state_damaged", "copy_damaged", GIVEN_UP}
FORGOT = "follower_forgot"
"""What a leader says of a node that is without what it had acknowledged: of an old copy only others can know."""


class DamageAtRest:
    """See Injector. Options: `node`, `what` (log, vote, journal, state), `age_s` and those of a Wound."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self.counts = {
            "damaged": 0,
            "damage_reported": 0,
            "damage_unnoticed": 0,
            "refused_to_start": 0,
            GIVEN_UP: 0,
            "caught_up_late": 0,
        }
        self.told: list[str] = []
        """What was done, and what came of it, in sentences."""

    def missing(self) -> str:
        """See Injector."""
        return ""

    async def inject(self, nodes: Sequence[int], options: Mapping[str, Any]) -> Mend | None:
        """See Injector. The node is the one that `options` names, or the first. HitNobody: it has no such file."""
        node = int(options.get("node", nodes[0]))
        data_dir = Path(self._nodes.launches[node].config.data_dir)
        what = Wound(**{name: options[name] for name in ("how", "file", "place", "size")})
        if not files_of(data_dir, options["what"]):
            raise HitNobody(f"node {node} has no {options['what']}")
        earlier = {}
        if what.how.startswith("stale"):
            earlier = {kept.name: kept.path.read_bytes() for kept in files_of(data_dir, options["what"])}
            await asyncio.sleep(float(options.get("age_s", 1.0)))
        await self._nodes.kill(node)
        files = files_of(data_dir, options["what"])
        if not files:
            await self._nodes.start(node)
            raise HitNobody(f"node {node} has no {options['what']} any more")
        kept = what.chosen([file for file in files if file.name in earlier] or files)
        good = self._nodes.launches[node].folder / f"good-{self.counts['damaged']}"  # several may be damaged at a time
        shutil.copyfile(kept.path, good)
        done = await asyncio.to_thread(wound, kept, what, earlier=earlier.get(kept.name, b""))
        self.counts["damaged"] += 1

        async def mend() -> None:
            await self.start(node, kept, good, done)

        return mend

    async def start(self, node: int, kept: Kept, good: Path, done: str) -> None:
        """The node, of which `kept` is damaged, runs again; then it has all that the others have, or that is counted.

        `good`: a copy of the file without the damage. `done`: what was done to it.
        """
        came = await self._start(node, kept, good)
        launches = self._nodes.launches.values()
        if not await caught_up(node, [launch.config.client.address for launch in launches]):
            self.counts["caught_up_late"] += 1
        self.told.append(f"node {node}: {done}; {came}")

    async def _start(self, node: int, kept: Kept, good: Path) -> str:
        """The node runs, and has noticed; what came of it."""
        logs = {other: Events(launch.folder / NODE_LOG) for other, launch in self._nodes.launches.items()}
        events = logs[node]
        await self._nodes.start(node)
        self._nodes.expect_end(node)
        found = await self._until_ready(node, events)
        if found is None:
            self.counts["refused_to_start"] += 1
            refusal = events.last(REFUSED)
            if refusal is None:
                raise RuntimeError(f"node {node} ended at its start, {kept.name} being damaged, and did not say why")
            await self._restore(node, kept, good)
            return f"it refused to start ({refusal.get('detail')}): the good copy was put back"
        self._nodes.expect_no_end(node)
        notice = await self._noticed(node, kept, logs)
        if notice is None:
            self.counts["damage_unnoticed"] += 1
            return "it did not notice anything"
        self.counts["damage_reported"] += 1
        if notice["event"] == GIVEN_UP:
            self.counts[GIVEN_UP] += 1
            await self._nodes.kill(node)
            await self._restore(node, kept, good)
            return f"it gave the replica up ({notice.get('detail')}): the good copy was put back"
        return f"it said {notice['event']} and went on"

    async def _restore(self, node: int, kept: Kept, good: Path) -> None:
        shutil.copyfile(good, kept.path)
        events = Events(self._nodes.launches[node].folder / NODE_LOG)
        await self._nodes.start(node)
        if await self._until_ready(node, events) is None:
            raise RuntimeError(f"node {node} does not start though the good copy of {kept.name} is back")

    async def _until_ready(self, node: int, events: "Events") -> Mapping[str, Any] | None:
        """None: it ended."""
        async with asyncio.timeout(READY_S_MAX):
            while True:
                runs = self._nodes.pid(node) is not None
                if (found := events.last(READY)) is not None:
                    return found
                if not runs:
                    return None
                await asyncio.sleep(LOOK_S)

    async def _noticed(self, node: int, kept: Kept, logs: Mapping[int, "Events"]) -> Mapping[str, Any] | None:
        """What it or a leader said of this replica. Of what is no replica's nothing is said after the start."""
        deadline = asyncio.get_running_loop().time() + (NOTICED_S_MAX if kept.partition else 0.0)
        while asyncio.get_running_loop().time() < deadline:
            for whose, log in logs.items():
                for event in log.new():
                    name, partition = event.get("event"), event.get("partition")
                    by_itself = whose == node and name in NOTICES and (partition == kept.partition or "task" in event)
                    if by_itself or (name == FORGOT and (event.get("peer"), partition) == (node, kept.partition)):
                        return event
            await asyncio.sleep(LOOK_S)
        return None


class Events:
    """What a node writes into its log from now on."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._position = path.stat().st_size if path.exists() else 0
        self._found: list[Mapping[str, Any]] = []

    def new(self) -> list[Mapping[str, Any]]:
        """All since the beginning; what is no event is passed over."""
        if self._path.exists():
            with self._path.open("rb") as file:
                file.seek(self._position)
                data = file.read()
            whole = data.rfind(b"\n") + 1
            self._position += whole
            for line in data[:whole].splitlines():
                if line.startswith(b"{"):
                    self._found.append(json.loads(line))
        return self._found

    def last(self, name: str) -> Mapping[str, Any] | None:
        """The newest event of that name."""
        return next((event for event in reversed(self.new()) if event.get("event") == name), None)
