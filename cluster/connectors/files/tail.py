"""Reads files as they grow: see `FileTail` for what it promises.

**A look.** `matching` lists the files. One whose inode is not known is new; one that is known and matches no more was
renamed or deleted, and is read on from where it is: a file that is open stays readable whatever becomes of its name.
A deleted one is forgotten when it was read to its end, but not because the task runs on another machine by now. A new
file that took the name of a known one waits until that one was read to its end.

**A read** of a file checks first that what was read before is still there (`marks`): head, then the bytes before the
offset together with those behind it, in one call, so a file that is truncated meanwhile is noticed.
"""

import asyncio
import os
import socket
from collections.abc import Sequence
from contextlib import suppress

from cluster.connectors.contract import Arrival, Arrived, Progress
from cluster.connectors.durations import duration_s
from cluster.connectors.files.folder import Found, any_here, mapped, matching, renamed
from cluster.connectors.files.marks import FINGER_BYTES, FORMAT, Cursor, FileId, Mark
from cluster.connectors.files.options import FileTail
from cluster.connectors.lines import LINE_END_BYTES, Decoder, Line, split
from cluster.errors import Unreachable

RECORDS_MAX = 1000
CHUNK_BYTES = 1024 * 1024


class Tail:
    """See `cluster.connectors.contract.Source`."""

    def __init__(self, options: FileTail) -> None:
        self._options = options
        self._poll_s = duration_s(options.poll, "poll")
        self._files: dict[FileId, _Open] = {}
        self._cursor: bytes | None = None
        self._begun = False
        self._turn = 0
        self._closed = False
        self._lock = asyncio.Lock()

    async def read(self, cursor: bytes | None) -> Arrived:
        """See Source."""
        while True:
            arrived = await self._in_thread(cursor)
            if arrived is not None:
                return arrived
            await asyncio.sleep(self._poll_s)

    async def _in_thread(self, cursor: bytes | None) -> Arrived | None:
        """A thread that is given up goes on, and must not be in another's way: `close` waits for it."""
        async with self._lock:
            work = asyncio.ensure_future(asyncio.to_thread(self._look, cursor))
            try:
                return await asyncio.shield(work)
            except asyncio.CancelledError:
                self._closed = True
                with suppress(Exception):
                    await work
                raise

    async def committed(self, cursor: bytes) -> None:
        """Files are not ours to delete."""

    async def close(self) -> None:
        """See Source."""
        self._closed = True
        async with self._lock:
            self._let_go()

    def progress(self) -> Progress | None:
        """Bytes, of a source that ends."""
        files = list(self._files.values())
        if self._options.follow or not files:
            return None
        done, total = sum(file.mark.offset for file in files), sum(file.size for file in files)
        return Progress(what=self._options.summary, done=done, total=total)

    def _let_go(self) -> None:
        for file in self._files.values():
            file.close()
        self._files = {}

    def _look(self, cursor: bytes | None) -> Arrived | None:
        """One look at all files; None: there is nothing new."""
        if self._closed:
            raise Unreachable(f"{self._options.summary}: it was closed")
        if not self._begun or cursor != self._cursor:
            self._let_go()
            self._files = {mark.file: _Open(mark, self._options) for mark in self._marks(cursor)}
            self._begun, self._cursor = True, cursor
        known = set(self._files)
        self._find(new=cursor is None)
        records = self._read_some()
        self._forget()
        ended = not self._options.follow and all(file.drained for file in self._files.values())
        if not records and not ended and known == set(self._files) and cursor is not None:
            return None
        marks = tuple(file.mark for file in self._files.values())
        self._cursor = Cursor(FORMAT, marks, socket.gethostname()).encode()
        return Arrived(records=records, cursor=self._cursor, ended=ended)

    def _marks(self, cursor: bytes | None) -> Sequence[Mark]:
        """Unreachable: they are of another machine's files, which are not deleted because they are not here."""
        if cursor is None:
            return ()
        known, here = Cursor.decode(cursor), socket.gethostname()
        if known.machine in {"", here} or any_here(known.marks, self._options.path, self._options.files_max):
            return known.marks
        raise Unreachable(
            f"{self._options.summary}: its files are on the machine {known.machine}, and this is {here}; it goes on "
            "where they are, or as a new version, which begins anew with what is here"
        )

    def _read_some(self) -> list[Arrival]:
        """Of the files in turn, beginning with another one each time. A failure leaves all where they were."""
        before = [(file, file.mark) for file in self._files.values()]
        try:
            return self._read_from(list(self._files.values()))
        except BaseException:
            for file, mark in before:
                file.back_to(mark)
            raise

    def _read_from(self, files: list["_Open"]) -> list[Arrival]:
        records, room = list[Arrival](), CHUNK_BYTES
        first = self._turn % max(1, len(files))
        for file in files[first:] + files[:first]:
            if room <= 0 or len(records) >= RECORDS_MAX:
                break
            self._turn += 1
            if not self._waits(file):
                before = file.mark.offset
                records += file.read(RECORDS_MAX - len(records))
                room -= max(0, file.mark.offset - before)
        return records

    def _find(self, *, new: bool) -> None:
        """Open what is there. `new`: the route is, so files may be begun at their end."""
        found = matching(self._options.path, self._options.files_max)
        names = {file.mark.name: file for file in self._files.values()}
        there = {file for file, _, _ in found}
        strayed = [file for file in self._files.values() if file.file is None and file.id not in there]
        if strayed:
            elsewhere = renamed([file.id for file in strayed], [file.mark.name for file in strayed])
            found += [Found(file, name, 0) for file, name in elsewhere.items()]
            for file in strayed:
                file.misses = 0 if file.id in elsewhere else file.misses + 1
        for file_id, name, size in found:
            known = self._files.get(file_id)
            if known is None:
                known = self._files[file_id] = _Open(Mark(*file_id, name), self._options)
                known.open(name)
                known.after = names.get(name)
                if known.after is not None:
                    known.after.drained = False
                if new and self._options.begin == "end":
                    known.begin_at_end(size)
            elif known.file is None:
                known.open(name)
            known.rename(name)

    def _waits(self, file: "_Open") -> bool:
        """For the one that had its name before."""
        if file.after is not None and (file.after.drained or file.after.id not in self._files):
            file.after = None
        return file.after is not None

    def _forget(self) -> None:
        for file in list(self._files.values()):
            if file.is_gone():
                file.close()
                del self._files[file.id]


class _Open:
    """A file that is read. It keeps its mark."""

    def __init__(self, mark: Mark, options: FileTail) -> None:
        self.mark, self._options = mark, options
        self.id = mark.file
        self.file: int | None = None
        """Its descriptor."""
        self.size = 0
        self.drained = False
        """Read to its end, at the last read."""
        self.misses = 0
        """Looks in which it was nowhere."""
        self.after: _Open | None = None
        self._decoder: Decoder | None = None

    def open(self, name: str) -> None:
        """A file that has gone meanwhile stays closed, and is looked for again."""
        with mapped(name), suppress(FileNotFoundError):
            self.file = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
            status = os.fstat(self.file)
            if (status.st_dev, status.st_ino) != self.id:
                self.close()

    def rename(self, name: str) -> None:
        """It is called so now."""
        if name != self.mark.name:
            self.mark = Mark(*self.id, name, self.mark.offset, self.mark.finger, self.mark.skipping)

    def back_to(self, mark: Mark) -> None:
        """What was read since is read again."""
        self.mark, self._decoder, self.drained = mark, None, False

    def close(self) -> None:
        """Let go of it."""
        if self.file is not None:
            os.close(self.file)
            self.file = None

    def is_gone(self) -> bool:
        """Deleted, and read as far as it can be. What is being renamed while we look may be missed once."""
        if self.file is None:
            return self.misses > 1
        return self.drained and os.fstat(self.file).st_nlink == 0

    def begin_at_end(self, size: int) -> None:
        """Pass over what is there; a line that is half written, too."""
        if self.file is None or size == 0:
            return
        with mapped(self.mark.name):
            behind = os.pread(self.file, FINGER_BYTES, max(0, size - FINGER_BYTES))
            head = os.pread(self.file, FINGER_BYTES, 0)
        self.mark = self.mark.moved(size, head, behind, skipping=not behind.endswith(b"\n"))

    def read(self, records_max: int) -> Sequence[Arrival]:
        """What comes next, at most a chunk of it."""
        if self.file is None:
            return ()
        with mapped(self.mark.name):
            head = os.pread(self.file, FINGER_BYTES, 0)
            overlap = min(FINGER_BYTES, self.mark.offset)
            chunk = max(CHUNK_BYTES, self._options.line_bytes_max + LINE_END_BYTES)
            content = os.pread(self.file, overlap + chunk, self.mark.offset - overlap)
            status = os.fstat(self.file)
        if self.mark.offset <= FINGER_BYTES:
            head = content[:FINGER_BYTES]
        self.size = status.st_size
        if len(content) < overlap or not self.mark.fits(head, content[:overlap]):
            self.mark, self._decoder, self.drained = self.mark.begun_anew(), None, False
            return self.read(records_max)
        decoder = self._decoding()
        is_all = len(content) < overlap + chunk
        last = is_all and (status.st_nlink == 0 or not self._options.follow)
        lines = self._lines(content, overlap, head, records_max, last=last)
        self.drained = is_all and (len(lines) < records_max or self.mark.offset >= self.size)
        if decoder.wants_header and lines:
            decoder.header(lines[0])
            lines = lines[1:]
        return [arrival for line in lines if (arrival := decoder.arrival(line)) is not None]

    def _lines(self, content: bytes, overlap: int, head: bytes, records_max: int, *, last: bool) -> Sequence[Line]:
        """Cut what comes after the first `overlap` bytes, and move on."""
        at = self.mark.offset
        lines, end, skipping = split(
            content[overlap:],
            at,
            line_bytes_max=self._options.line_bytes_max,
            records_max=records_max,
            skipping=self.mark.skipping,
            quotes=self._options.format == "csv",
            last=last,
        )
        if end != at:
            behind = content[: overlap + end - at][-FINGER_BYTES:]
            self.mark = self.mark.moved(end, head, behind, skipping=skipping)
        return lines

    def _decoding(self) -> Decoder:
        """The decoder; of a CSV file that is read on, with the header that it begins with."""
        if self._decoder is None:
            self._decoder = Decoder(self._options.format, self.mark.name, delimiter=self._options.delimiter)
            if self.mark.offset > 0 and self._decoder.wants_header and self.file is not None:
                limit = self._options.line_bytes_max
                with mapped(self.mark.name):
                    content = os.pread(self.file, limit + LINE_END_BYTES, 0)
                lines = split(content, 0, line_bytes_max=limit, records_max=1, quotes=True, last=True).lines
                if lines:
                    self._decoder.header(lines[0])
        return self._decoder
