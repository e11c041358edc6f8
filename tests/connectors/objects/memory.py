"""A place in memory, as a store that several writers use step by step; and who drives them."""

import random
from collections.abc import Coroutine, Generator, Sequence
from typing import Any

from cluster.connectors.objects.store import Entry


class Step:
    """A moment at which somebody else may go on, or the writer be stopped for ever."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class Memory:
    """See Store. A call takes a step before it has happened, and one behind that."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.made: list[str] = []

    async def create(self, name: str, content: bytes) -> bool:
        await Step()
        is_new = name not in self.files
        if is_new:
            self.files[name] = content
            self.made.append(name)
        await Step()
        return is_new

    async def read(self, name: str, begin: int = 0, length: int | None = None) -> bytes | None:
        await Step()
        found = self.files.get(name)
        return None if found is None else found[begin:] if length is None else found[begin : begin + length]

    async def look(self, name: str) -> Entry | None:
        await Step()
        return Entry(name, len(self.files[name]), "", 0.0) if name in self.files else None

    async def list(self, folder: str) -> Sequence[Entry]:
        await Step()
        return sorted(Entry(name, len(self.files[name]), "", 0.0) for name in self.files if name.startswith(folder))

    async def delete(self, names: Sequence[str]) -> None:
        await Step()
        for name in names:
            self.files.pop(name, None)


def drive(coroutines: list[Coroutine[Any, None, None]], chance: random.Random, stopped: float) -> None:
    """Step by step in a random order until all have ended, or the chance that one is stopped has struck them."""
    while coroutines:
        one = chance.choice(coroutines)
        try:
            one.send(None)
        except StopIteration:
            coroutines.remove(one)
            continue
        if chance.random() < stopped:
            coroutines.remove(one)
            one.close()
