"""Pieces of a lane: their names, and why each record is in one of them once. Pure.

A lane's offsets are cut into *pieces* from `begin` to before `end`. Three kinds of names, each made at most once by
whoever comes first, and never written again (`Store.create`):

- a *claim* `_riverrun/<lane>/<begin>` says where the piece that begins there ends, and which files it has;
- a *file* `part-<lane>-<begin>.<format>` (in a folder for each day, if that is wanted) has the piece's records;
- a *mark* `_riverrun/<lane>/<begin>-<end>.done` says that all files of the claim are there.

A writer is at a *place* of the lane: 0 at first, or behind the piece with the newest mark. It makes the claim of its
place, or finds one and takes that for its own, whatever it would have liked; holds records until it has all of the
piece; looks for the mark, or makes the files and then the mark; and its place is the piece's end.

**Any number of writers may be at work, stopped at any point, and go on later.** Each record is in one piece, once:

1. There is one claim for a place, so all writers that ever come to a place go on to the same next one. They begin at 0
   or at the end of a marked piece, which is the next place of that piece's begin. So, by induction, all places of all
   writers lie on one chain 0 < p1 < p2 …, and its pieces share no offset.
2. A name of a file has its piece's begin in it, so it is of one piece; it appears whole and once. Whoever makes it has
   read all records of the piece and no other, so what a record becomes must depend on the record alone: then it does
   not matter who it was. That holds for what is refused as well, and is why a field that has several types in
   a piece is no reason to refuse one of them.
3. A writer leaves a place only when the mark is there, so behind the newest mark everything is there; and `write` says
   "safe" only of what lies behind the place. A commit of the lane's position is therefore never beyond the newest mark,
   and what the next writer is given begins at its place, or before it.
4. Files are not looked for again when their mark is there: they may be taken away by whoever uses them. Only a writer
   that was stopped between looking for the mark and making the file would make it anew; so not at once.

An empty piece (all was filtered out) has a claim and a mark, and no files: a position that moved without one would let
a writer that was stopped before that claim a piece over it.

Claims and marks below the newest mark are deleted when they are a day older than it: a writer that was stopped for
longer than that in the middle of a piece, and then goes on, could make a file anew that was taken away meanwhile.
"""

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

import msgspec

from cluster.connectors.objects.store import Entry
from cluster.errors import InvalidRoute

OWN = "_riverrun"
"""The folder of what is not data."""
KEPT_S = 24 * 3600.0
DIGITS = 20
_MARK = ".done"


class Claim(msgspec.Struct, frozen=True):
    """Of a piece; JSON, for people as well."""

    lane: str
    begin: int
    end: int
    files: tuple[str, ...]


def lane_name(lane: str) -> str:
    """A lane's in names of files."""
    return hashlib.sha256(lane.encode()).hexdigest()[:16]


def lane_folder(lane: str) -> str:
    """Where its claims and marks are."""
    return f"{OWN}/{lane_name(lane)}"


def claim_name(lane: str, begin: int) -> str:
    """Of the piece that begins there."""
    return f"{lane_folder(lane)}/{begin:0{DIGITS}}"


def mark_name(claim: Claim) -> str:
    """Of a piece that is done."""
    return f"{claim_name(claim.lane, claim.begin)}-{claim.end:0{DIGITS}}{_MARK}"


def file_name(lane: str, begin: int, folder: str, suffix: str) -> str:
    """Of the piece's records that go into that folder ("" or ending in a slash)."""
    return f"{folder}part-{lane_name(lane)}-{begin:0{DIGITS}}.{suffix}"


def day_of(timestamp_ns: int) -> str:
    """Of an event, in UTC."""
    return datetime.fromtimestamp(timestamp_ns // 10**9, UTC).strftime("%Y-%m-%d")


def marked_end(entries: Iterable[Entry]) -> int | None:
    """The end of the newest piece that is done; None: there is none."""
    names = [entry.name.rpartition("/")[2].removesuffix(_MARK) for entry in entries if entry.name.endswith(_MARK)]
    return int(max(names).partition("-")[2]) if names else None


def outdated(entries: Sequence[Entry]) -> list[str]:
    """What may be deleted."""
    newest = max((entry for entry in entries if entry.name.endswith(_MARK)), default=None)
    if newest is None:
        return []
    last = newest.name.rpartition("-")[0]
    return [entry.name for entry in entries if entry.name < last and entry.modified_s < newest.modified_s - KEPT_S]


def encode_claim(claim: Claim) -> bytes:
    """As it is stored."""
    return msgspec.json.encode(claim)


def decode_claim(written: bytes, name: str, lane: str, begin: int) -> Claim:
    """InvalidRoute: it is not one of ours."""
    try:
        claim = msgspec.json.decode(written, type=Claim)
    except msgspec.MsgspecError as error:
        raise InvalidRoute(f"{name} is not what riverrun wrote there: {error}") from error
    if (claim.lane, claim.begin) != (lane, begin) or claim.end <= begin:
        raise InvalidRoute(f"{name} is of {claim.lane} from {claim.begin} to {claim.end}, not of {lane} from {begin}")
    return claim
