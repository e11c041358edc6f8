"""What a node keeps of the quorum: a journal per configuration that it has a seat in, and who decides, as last heard.

`controller/journal` is the first configuration's, `controller/journal.<number>` a later one's; that begins with the
state that the seal left. The file `quorum` says whether this node has a journal: if it does and there is none, votes
may have been lost with it, and the node must not run.
"""

import contextlib

import msgspec

from cluster.controller.quorum.adapter import JOURNAL
from cluster.controller.quorum.journal import FULL, NO_ROOM, DurableJournal
from cluster.errors import CorruptStorage, DiskFull
from cluster.log.whole_file import read_whole, write_whole
from cluster.metadata import QuorumConfiguration
from cluster.types import NodeId
from cluster.world import Disk

RECORD = "quorum"


class Record(msgspec.Struct, frozen=True):
    """The newest configuration heard of, and the number of this node's journal; 0: it has none."""

    configuration: QuorumConfiguration
    journal: int


class Beginning(msgspec.Struct, frozen=True):
    """What a configuration begins with."""

    configuration: QuorumConfiguration
    state: bytes


class Storage:
    """Of one node."""

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._written: Record | None = None

    def record(self) -> Record | None:
        """As last written; None on a node that is new. CorruptStorage if it does not fit what is there."""
        data = read_whole(self._disk, RECORD)
        if data is None:
            return None
        record = msgspec.msgpack.decode(data, type=Record)
        if record.journal and record.journal not in self.journals():
            raise CorruptStorage(
                f"the controller's journal of configuration {record.journal} is gone from this node's data directory, "
                f"and with it what it voted for: replace this node (riverrun cluster replace)"
            )
        self._written = record
        return record

    def write_record(self, record: Record) -> None:
        """On disk when this returns. What is there already takes no room; DiskFull if there is none for what is not."""
        if record == self._written:
            return
        try:
            write_whole(self._disk, RECORD, msgspec.msgpack.encode(record))
        except OSError as error:
            if error.errno in FULL:
                raise DiskFull(NO_ROOM) from error
            raise
        self._written = record

    def begin(self, beginning: Beginning, newest: QuorumConfiguration) -> DurableJournal:
        """A later configuration's journal, made with that, and recorded. DiskFull: to be tried again."""
        number = beginning.configuration.number
        journal, _ = self.open(number, beginning)
        try:
            self.write_record(Record(configuration=newest, journal=number))
        except DiskFull:
            journal._destroy()  # noqa: SLF001
            raise
        return journal

    def journals(self) -> list[int]:
        """The configurations that there are journals of."""
        directory, _, name = JOURNAL.rpartition("/")
        found = [1] if name in self._disk.list(directory) else []
        for entry in self._disk.list(directory):
            number = entry.removeprefix(name + ".")
            if number.isdigit():
                found.append(int(number))
        return sorted(found)

    def open(self, number: int, beginning: Beginning | None = None) -> tuple[DurableJournal, Beginning | None]:
        """A configuration's journal and what it begins with; made, if there is none. DiskFull, CorruptStorage."""
        data = msgspec.msgpack.encode(beginning) if beginning is not None else b""
        journal = DurableJournal(self._disk, self._path(number), data)
        if number == 1:
            return journal, None
        try:
            return journal, msgspec.msgpack.decode(journal.beginning, type=Beginning)
        except msgspec.MsgspecError as error:
            raise CorruptStorage(f"{self._path(number)} does not begin with a state: replace this node") from error

    def remove_before(self, number: int) -> None:
        """Journals of earlier configurations are not needed any more."""
        for found in self.journals():
            if found < number:
                with contextlib.suppress(FileNotFoundError):
                    self._disk.remove(self._path(found))

    @staticmethod
    def _path(number: int) -> str:
        return JOURNAL if number == 1 else f"{JOURNAL}.{number}"


def other_directory(node: NodeId, number: int) -> str:
    """Why a node must not run whose seat is another directory's, and what to do."""
    return (
        f"node {node} has a seat in the controller's quorum (configuration {number}) with another data directory: this "
        f"one was wiped or exchanged. Start it with the data that it had, or replace it: riverrun cluster replace "
        f"{node} --with NEW"
    )
