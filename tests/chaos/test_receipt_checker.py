"""Receipts that said too little, or what is not true; and those that are right."""

import pytest

from chaos.checkers.log import check_log
from chaos.history import History, Kind
from tests.chaos.histories import names, read, send


@pytest.mark.parametrize(
    ("replicas", "synced", "anomalies"),
    [
        (3, 3, []),
        (3, 2, []),
        (3, 1, ["receipt below majority"]),
        (5, 2, ["receipt below majority"]),
        (5, 3, []),
        (4, 2, ["receipt below majority"]),
        (1, 1, []),
        (3, None, []),
    ],
)
def test_an_acknowledgement_is_a_majority(replicas: int, synced: int | None, anomalies: list[str]) -> None:
    """Half of them is none; a receipt that does not say is not judged, nor is anything where nobody says how many."""
    history = History()
    send(history, "a", 0, synced=synced)
    read(history, (0, "a"))
    assert anomalies == names(history, replicas=replicas)
    assert [] == names(history)


@pytest.mark.parametrize(
    ("synced", "anomalies"),
    [(2, ["unseen", "receipt lied"]), (1, ["unseen", "receipt below majority"]), (None, ["unseen"])],
)
def test_what_a_majority_had_is_not_lost(synced: int | None, anomalies: list[str]) -> None:
    """It is lost, and its receipt lied: both are said. A receipt that promised less did not lie."""
    history = History()
    send(history, "a", 0, synced=2)
    send(history, "b", 1, at=1.0, synced=synced)
    read(history, (0, "a"))
    assert anomalies == names(history, replicas=3)
    read(history, (0, "a"), (1, "b"))
    assert not {"unseen", "receipt lied"} & set(names(history, replicas=3))


def test_the_receipt_is_the_proof() -> None:
    """And the read that lacks it, of what is lost."""
    history = History()
    send(history, "a", 0, synced=3)
    send(history, "b", 1, at=1.0, synced=3)
    read(history, (1, "b"), start=1)
    found = {anomaly.name: anomaly.operations for anomaly in check_log(history.events, replicas=3)}
    assert {"lost write": (1, 3), "receipt lied": (1,), "wrong start": (3,)} == found


def test_nothing_is_promised_of_what_was_not_acknowledged() -> None:
    """Unknown or refused: there is no receipt."""
    history = History()
    send(history, "a", None, Kind.INFO, synced=1)
    send(history, "b", None, Kind.FAIL, at=1.0, synced=1)
    read(history)
    assert [] == names(history, replicas=3)
