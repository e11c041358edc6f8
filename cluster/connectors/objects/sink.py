"""Writes pieces of lanes as files: claim, files, mark. `pieces` says why each record is in one of them, once."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence

import msgspec

from cluster.connectors.contract import Delivery, Position
from cluster.connectors.objects.options import DATE, FilesSink
from cluster.connectors.objects.pieces import (
    OWN,
    Claim,
    claim_name,
    day_of,
    decode_claim,
    encode_claim,
    file_name,
    lane_folder,
    mark_name,
    marked_end,
    outdated,
)
from cluster.connectors.objects.rows import content_of_csv, content_of_lines, encoder_of
from cluster.connectors.objects.store import Store
from cluster.errors import InvalidRoute, Unreachable

PIECES_PER_CLEANING = 1000
PROBE = f"{OWN}/conditional-puts"


class _Row(msgspec.Struct, frozen=True, gc=False):
    offset: int
    folder: str
    content: bytes


class _Lane:
    """What is held of one. `place`: where the chain of pieces is; `end`: behind what is held."""

    def __init__(self, name: str, place: int) -> None:
        self.name, self.place, self.end = name, place, place
        self.rows: list[_Row] = []
        self.bytes = 0
        self.claim: Claim | None = None
        self.pieces = 0

    def hold(self, rows: Sequence[_Row], end: int) -> None:
        """What lies below `end` of this lane is not taken twice."""
        new = [row for row in rows if row.offset >= self.end]
        self.rows += new
        self.bytes += sum(len(row.content) for row in new)
        self.end = max(self.end, end)

    def go_on(self, claim: Claim) -> None:
        """That piece is done."""
        self.rows = [row for row in self.rows if row.offset >= claim.end]
        self.bytes = sum(len(row.content) for row in self.rows)
        self.place, self.claim = claim.end, None
        self.end = max(self.end, self.place)
        self.pieces += 1


class Pieces:
    """See `cluster.connectors.contract.Sink`."""

    def __init__(self, options: FilesSink, store: Store) -> None:
        self._options, self._store = options, store
        self._encode = encoder_of(options.format)
        self._make = _content_of(options.format)
        self._lanes: dict[str, _Lane] = {}
        self._is_checked = False

    async def last_position(self, lane: str) -> int | None:
        """See Sink. InvalidRoute: the place makes what is there already."""
        if not self._is_checked:
            await self._check_place()
        entries = await self._store.list(lane_folder(lane))
        end = marked_end(entries)
        self._lanes[lane] = _Lane(lane, end or 0)
        await self._store.delete(outdated(entries))
        return end

    async def write(self, batch: Sequence[Delivery], position: Position) -> bool:
        """See Sink."""
        rows = [
            _Row(delivery.offset, self._folder(delivery), self._encode(delivery, place))
            for place, delivery in enumerate(batch)
        ]
        if position.lane not in self._lanes:
            await self.last_position(position.lane)
        lane = self._lanes[position.lane]
        lane.hold(rows, position.end)
        while self._full(lane) and await self._cut(lane):
            pass
        await self._make_room()
        return lane.place >= position.end

    async def settle(self) -> None:
        """See Sink. Unreachable: a piece that somebody else has begun has to wait for more of its records."""
        for lane in self._lanes.values():
            while lane.end > lane.place:
                if not await self._cut(lane):
                    assert lane.claim is not None, lane.name
                    what = f"the piece of {lane.name} from {lane.place} was begun by another up to {lane.claim.end}"
                    raise Unreachable(f"{self._options.summary}: {what}, and its records are here up to {lane.end}")

    async def close(self) -> None:
        """See Sink."""
        self._lanes = {}

    async def _check_place(self) -> None:
        """Servers that know no conditional puts pass over the condition, and all that is promised rests on it."""
        if await self._store.create(PROBE, b"1") and await self._store.create(PROBE, b"2"):
            what = "the server puts objects over those that are there (it does not know If-None-Match: *)"
            raise InvalidRoute(f"{self._options.summary}: {what}, so no record could be there once")
        self._is_checked = True

    async def _content(self, rows: Sequence[bytes]) -> bytes:
        if self._make is content_of_lines:
            return self._make(rows)
        return await asyncio.to_thread(self._make, rows)

    def _folder(self, delivery: Delivery) -> str:
        folder = self._options.folder
        return folder.replace(DATE, day_of(delivery.timestamp_ns)) if DATE in folder else folder

    def _full(self, lane: _Lane) -> bool:
        """It has a piece: of its own size, or of the size that somebody gave it before."""
        if lane.claim is not None:
            return lane.end >= lane.claim.end
        return lane.bytes >= self._options.roll_bytes or len(lane.rows) >= self._options.roll_records

    async def _make_room(self) -> None:
        """The largest is ended early, where all are too large together."""
        for lane in sorted(self._lanes.values(), key=lambda lane: -lane.bytes):
            if sum(other.bytes for other in self._lanes.values()) <= self._options.memory_bytes_max:
                return
            while lane.end > lane.place and await self._cut(lane):
                pass

    async def _cut(self, lane: _Lane) -> bool:
        """Make the next piece; False: that has to wait for more records."""
        if lane.claim is None:
            files = tuple(sorted({self._file(lane, row.folder) for row in lane.rows}))
            lane.claim = await self._claim(Claim(lane.name, lane.place, lane.end, files))
        claim = lane.claim
        if claim.end > lane.end:
            return False
        contents: dict[str, list[bytes]] = defaultdict(list)
        for row in lane.rows:
            if row.offset < claim.end:
                contents[self._file(lane, row.folder)].append(row.content)
        if not contents.keys() <= set(claim.files):
            what = f"the piece of {lane.name} from {claim.begin} to {claim.end} was begun with other files"
            raise InvalidRoute(f"{self._options.summary}: {what}: was the route changed in place?")
        if await self._store.look(mark_name(claim)) is None:
            for name, rows in contents.items():
                await self._store.create(name, await self._content(rows))
            await self._store.create(mark_name(claim), encode_claim(claim))
        lane.go_on(claim)
        if lane.pieces % PIECES_PER_CLEANING == 0:
            await self._store.delete(outdated(await self._store.list(lane_folder(lane.name))))
        return True

    async def _claim(self, wanted: Claim) -> Claim:
        """The one of this place: ours, or what somebody has claimed before."""
        name = claim_name(wanted.lane, wanted.begin)
        if await self._store.create(name, encode_claim(wanted)):
            return wanted
        written = await self._store.read(name)
        if written is None:
            raise Unreachable(f"{self._options.summary}: {name} was there, and is gone")
        return decode_claim(written, name, wanted.lane, wanted.begin)

    def _file(self, lane: _Lane, folder: str) -> str:
        return file_name(lane.name, lane.place, folder, self._options.format.replace("text", "txt"))


def _content_of(form: str) -> Callable[[Sequence[bytes]], bytes]:
    if form == "parquet":
        try:
            from cluster.connectors.objects.parquet import content_of_parquet  # noqa: PLC0415  an extra
        except ImportError as error:
            raise InvalidRoute('format = "parquet" needs pyarrow: install riverrun[arrow]') from error
        return content_of_parquet
    return content_of_csv if form == "csv" else content_of_lines
