"""Applies commits to a store until it is killed: `python -m tests.processing.writing_store PATH SEED KIND`."""

import random
import sys

from cluster.processing.snapshot import Applied
from cluster.processing.store import Store
from cluster.processing.store_sqlite import SqliteStore
from cluster.processing.work import StateChange
from cluster.types import Index

KEYS = 200
SIZES = (1, 30, 1_500)


def changes_of(n: int) -> list[StateChange]:
    """What commit `n` changes: always the same."""
    chance = random.Random(n)
    chosen = chance.sample(range(KEYS), chance.randint(1, 20))
    return [
        StateChange(
            store="s",
            key=b"%d" % key,
            value=None if chance.random() < 0.2 else b"%d " % n * chance.choice(SIZES),
        )
        for key in chosen
    ]


def state_after(n: int) -> dict[bytes, bytes]:
    """What the state is after commits 1 to `n`."""
    state: dict[bytes, bytes] = {}
    for number in range(1, n + 1):
        for change in changes_of(number):
            state.pop(change.key, None)
            if change.value is not None:
                state[change.key] = change.value
    return state


def opened(kind: str, path: str) -> Store:
    """A store of the task t/0."""
    if kind == "sqlite":
        return SqliteStore(path, "t/0")
    from cluster.processing.store_lmdb import LmdbStore  # noqa: PLC0415  an extra

    return LmdbStore(path, "t/0")


def main(path: str, seed: int, kind: str) -> None:
    """One line for each commit and each flush, when it is done."""
    chance = random.Random(seed)
    store = opened(kind, path)
    n = store.applied.n
    while True:
        n += 1
        store.apply(Applied(Index(2 * n), n), changes_of(n))
        print("applied", n, flush=True)
        if chance.random() < 0.1:
            store.flush()
            print("flushed", n, flush=True)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
