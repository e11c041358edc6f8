"""A replica of a task's log, for tests of what follows it."""

import random
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

from cluster.broker.running import Running
from cluster.config import ProcessingOptions
from cluster.log import Log
from cluster.processing.commit import Begin, TaskCommit, encode
from cluster.processing.ledger import Ledger
from cluster.processing.surroundings import Stores
from cluster.processing.tasks.keeper import Keeper
from cluster.processing.work import StateChange
from cluster.records import EntryKind
from cluster.sim.disk import SimDisk
from cluster.types import Index, Term
from tests.log.test_crash import DIRECTORY, IDENTITY, MEMBERS, OPTIONS, entry
from tests.processing.test_ledger import BEGIN, Script

FLUSH_S = 5.0


class Task:
    """A replica of a task's log, which leads in term 1; what is appended is committed when a test says so."""

    def __init__(self) -> None:
        disk = SimDisk(random.Random(1))
        Log.create(disk, [(DIRECTORY, IDENTITY, MEMBERS)])
        self.log = Log.open(disk, DIRECTORY, IDENTITY, OPTIONS, Ledger)
        self.raft = SimpleNamespace(commit=Index(0), term=Term(1), is_leader=True, others=())
        self.partition = IDENTITY.partition
        self.script = Script()
        self.append(BEGIN)

    def commit(self) -> None:
        """One more, with a change of state."""
        commit = self.script.commit(state=[StateChange(store="s", key=b"k", value=b"v")])
        self.script.do(commit)
        self.append(commit)

    def append(self, command: Begin | TaskCommit) -> None:
        """It is in the log, and committed."""
        content = encode(command)
        self.log.append([replace(entry(self.log, 1), kind=EntryKind.COMMAND, batch=None, control=content)])
        self.raft.commit = self.log.last_index

    def keeper(self, stores: Any, clock: Any) -> Keeper:
        """Of its state."""

        async def fetch(*_: object) -> None:
            raise AssertionError("the state is here")

        running = cast("Running", SimpleNamespace(replica=self))
        options = ProcessingOptions(flush_interval_s=FLUSH_S)
        return Keeper(running, owner="a task", stores=cast("Stores", stores), clock=clock, options=options, fetch=fetch)
