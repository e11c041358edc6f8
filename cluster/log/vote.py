"""Term and vote on disk: two copies in one preallocated file, so that neither a crash nor one damaged copy loses them.

A vote is saved by writing copy A, syncing, writing copy B, syncing: at any moment one copy is whole. When it was
reported as saved, both are; so one damaged copy loses nothing. A start after which the second was never written writes
it, before anything is said: else damage of the first would bring back an older vote. Two damaged copies mean that the
vote is lost, and that this replica is not itself any more. The file's space is there from the start: a full disk votes.
"""

import struct
from collections.abc import Sequence

import google_crc32c

from cluster.errors import CorruptStorage
from cluster.raft.ready import Vote
from cluster.types import ReplicaId, Term
from cluster.world import Disk, File

_COPY = struct.Struct("<8sQQQI")
MAGIC = b"RRVOTE01"
SLOT_BYTES = 4096
COPIES = (0, SLOT_BYTES)
FILE_BYTES = 2 * SLOT_BYTES


def encode_vote(vote: Vote, sequence: int, identity: bytes) -> bytes:
    """One copy. `sequence` rises with every save."""
    body = MAGIC, vote.term, vote.voted_for or 0, sequence
    return _COPY.pack(*body, _crc(body, identity))


def save_votes(disk: Disk, votes: Sequence[tuple[File, bytes]]) -> None:
    """Replace votes, each by its encoded copy; on disk when this returns. All together cost two syncs."""
    for position in COPIES:
        for file, data in votes:
            file.write(position, [data])
        disk.sync_files([file for file, _ in votes])


def mend_vote(disk: Disk, file: File, data: bytes) -> None:
    """Make both copies this one. Nothing is written where it is already: the power may fail here, too."""
    for position in COPIES:
        if file.read(position, len(data)) != data:
            file.write(position, [data])
            disk.sync_files([file])


def load_vote(file: File, identity: bytes) -> tuple[Vote, int, bool]:
    """The newest whole copy, its sequence, and whether both are whole; CorruptStorage if none is."""
    found = []
    for position in COPIES:
        data = file.read(position, _COPY.size)
        if len(data) < _COPY.size:
            continue
        *body, crc = _COPY.unpack(data)
        if body[0] == MAGIC and crc == _crc(tuple(body), identity):
            found.append((body[3], Vote(term=Term(body[1]), voted_for=ReplicaId(body[2]) if body[2] else None)))
    if not found:
        raise CorruptStorage(f"both copies of the vote in {file.path} are damaged")
    sequence, vote = max(found, key=lambda copy: copy[0])
    return vote, sequence, len(found) == len(COPIES)


def _crc(body: tuple[bytes, int, int, int], identity: bytes) -> int:
    return int(google_crc32c.extend(google_crc32c.value(identity), struct.pack("<8sQQQ", *body)))
