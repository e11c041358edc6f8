"""Reads the files of a place one after the other: see `ObjectsSource` for what it promises.

A file is looked at after each piece that was read of it: one that is another by then, or is gone, was not read whole by
anybody, and stops the route with a sentence, but where nothing was taken of it yet.
"""

import asyncio
from collections import deque

from cluster.connectors.contract import Arrived, Progress
from cluster.connectors.durations import duration_s
from cluster.connectors.objects.contents import Contents, Gone, Read, contents_of
from cluster.connectors.objects.finished import Current, Cursor, Finished, chosen
from cluster.connectors.objects.options import ObjectsSource
from cluster.connectors.objects.store import Entry, Store
from cluster.errors import InvalidRoute


class Objects:
    """See `cluster.connectors.contract.Source`."""

    def __init__(self, options: ObjectsSource, store: Store) -> None:
        self._options, self._store = options, store
        self._look_s = duration_s(options.look, "look")
        self._cursor: bytes | None = None
        self._finished: Finished | None = None
        self._current: Current | None = None
        self._contents: Contents | None = None
        self._share = 0.0
        self._entries: list[Entry] = []
        self._waiting: deque[Entry] = deque()
        self._looked_s: float | None = None

    async def read(self, cursor: bytes | None) -> Arrived:
        """See Source."""
        if self._finished is None or cursor != self._cursor:
            found = Cursor.decode(cursor) if cursor is not None else Cursor()
            self._let_go()
            self._cursor, self._current, self._looked_s = cursor, found.current, None
            self._waiting.clear()
            self._finished = Finished(found, rising=self._options.rising)
        while True:
            if self._current is None and not await self._choose(self._finished):
                return self._arrived(Read((), 0), ended=True)
            read = await self._read_current()
            if read is not None:
                return self._arrived(read)

    async def committed(self, cursor: bytes) -> None:
        """Files are not ours to delete."""

    async def close(self) -> None:
        """See Source."""
        self._let_go()

    def progress(self) -> Progress | None:
        """Bytes, while there is something to read."""
        if self._finished is None:
            return None
        total = sum(entry.size for entry in self._entries)
        done = sum(entry.size for entry in self._entries if entry.name in self._finished)
        if self._current is not None and self._current.name not in self._finished:
            done += int(self._share * self._current.size)
        if done >= total and self._options.follow:
            return None
        return Progress(what=self._options.summary, done=done, total=total)

    def _let_go(self) -> None:
        if self._contents is not None:
            self._contents.close()
            self._contents = None

    def _arrived(self, read: Read, *, ended: bool = False) -> Arrived:
        assert self._finished is not None
        self._cursor = self._finished.cursor(self._current).encode()
        return Arrived(records=read.records, cursor=self._cursor, ended=ended)

    async def _choose(self, finished: Finished) -> bool:
        """The next file becomes the current one; it is waited for. False: there will be no other."""
        while True:
            while self._waiting:
                entry = self._waiting.popleft()
                if entry.name not in finished:
                    self._current = Current(entry.name, entry.version, entry.size)
                    return True
            if self._looked_s is not None:
                if not self._options.follow:
                    return False
                await asyncio.sleep(self._looked_s + self._look_s - asyncio.get_running_loop().time())
            await self._look(finished)

    async def _look(self, finished: Finished) -> None:
        self._entries = chosen(await self._store.list(""), self._options.names)
        self._looked_s = asyncio.get_running_loop().time()
        self._waiting = deque(self._entries)
        finished.keep([entry.name for entry in self._entries], self._options.where)

    async def _read_current(self) -> Read | None:
        """Some of it; None: it has gone, or is another by now, and nothing was taken of it."""
        current = self._current
        assert current is not None
        assert self._finished is not None
        entry = Entry(current.name, current.size, current.version, 0.0)
        if self._contents is None:
            self._contents = contents_of(self._options, self._store, entry)
        try:
            read = await self._contents.read(current.place, skipping=current.skipping)
            found = await self._store.look(current.name)
        except Gone:
            found = None
        except InvalidRoute:
            if current.place == 0 and await self._is_another(current):
                self._pass_over()
                return None
            raise
        if found is None or found.version != current.version:
            if current.place == 0:
                self._pass_over()
                return None
            what = "gone" if found is None else "another one by now"
            raise InvalidRoute(
                f"{self._options.summary}: {current.name} is {what}, though only a part of it was read (up to"
                f" {current.place} of its bytes, elements or rows): put it back as it was, or begin the route anew"
            )
        self._share = read.share
        if read.ended:
            self._finished.add(current.name)
            self._current = None
            self._let_go()
        else:
            self._current = Current(current.name, current.version, current.size, read.place, read.skipping)
        return read

    async def _is_another(self, current: Current) -> bool:
        """It was broken because it was being replaced."""
        found = await self._store.look(current.name)
        return found is None or found.version != current.version

    def _pass_over(self) -> None:
        """Look anew what there is."""
        self._current, self._looked_s = None, None
        self._waiting.clear()
        self._let_go()
