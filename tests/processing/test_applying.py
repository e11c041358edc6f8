"""From the committed log into the store: what counts is applied once, wherever the store stands."""

import pytest

from cluster.errors import CorruptStorage
from cluster.processing.applying import Applying
from cluster.processing.commit import encode
from cluster.processing.ledger import Accepted, Ledger, Refused
from cluster.processing.snapshot import Applied
from cluster.processing.store_memory import MemoryStore
from cluster.processing.work import StateChange
from cluster.types import Index, Term
from tests.processing.test_ledger import BEGIN, Script, out


def log_of(count: int) -> list[bytes]:
    """Begin, and commits that set one key each; every other command is one that is refused."""
    script, log = Script(), [encode(BEGIN)]
    for n in range(1, count + 1):
        commit = script.commit(state=[StateChange(store="s", key=b"%d" % n, value=b"v")], outputs=[out(n - 1)])
        log += [encode(commit), encode(commit)]
        script.do(commit)
    return log


def test_what_counts_is_applied_and_what_does_not_is_not():
    """The store says which entry it was."""
    store = MemoryStore()
    applying = Applying(Ledger(), Index(0), store)
    verdicts = [applying.apply(command, Index(index), Term(1))[1] for index, command in enumerate(log_of(3), 1)]
    assert [Accepted, Accepted, Refused, Accepted, Refused, Accepted, Refused] == [type(v) for v in verdicts]
    assert (Applied(Index(6), 3), True) == (store.applied, applying.whole)
    assert [(b"1", b"v"), (b"2", b"v"), (b"3", b"v")] == store.scan("s", b"", limit=9)


def test_a_store_that_is_ahead_is_caught_up_with():
    """After a restart the log is read from its start."""
    store, log = MemoryStore(), log_of(3)
    for run in range(2):
        applying = Applying(Ledger(), Index(0), store)
        for index, command in enumerate(log, 1):
            applying.apply(command, Index(index), Term(1))
            assert applying.whole == (run == 0 or index >= 6)
    assert Applied(Index(6), 3) == store.applied


def test_a_store_that_does_not_belong_to_the_log_is_noticed():
    """It misses a commit that the log does not have any more."""
    log, ledger = log_of(3), Ledger()
    for index, command in enumerate(log[:3], 1):
        ledger.apply(command, Index(index), Term(1))
    applying = Applying(ledger, Index(3), MemoryStore())
    with pytest.raises(CorruptStorage, match="commit 0; the log goes on with 2"):
        applying.apply(log[3], Index(4), Term(1))


def test_the_log_is_kept_for_the_store_and_for_what_is_not_shipped():
    """Whichever needs more of it."""
    store = MemoryStore()
    applying = Applying(Ledger(), Index(0), store)
    for index, command in enumerate(log_of(3), 1):
        applying.apply(command, Index(index), Term(1))
    assert 0 == applying.trim_limit()
    store.flush()
    assert 1 == applying.trim_limit(), "commit 1, at index 2, is not shipped"
