"""What receipts said: an acknowledgement means that a majority of the replicas had synced, and then it is not lost."""

from collections.abc import Iterable

from chaos.checkers.anomaly import Anomaly, proof
from chaos.checkers.operations import Send
from chaos.history import Kind

RECEIPT_LIED = "receipt lied"


def majority(replicas: int) -> int:
    """Of so many."""
    return replicas // 2 + 1


def promised(send: Send, replicas: int) -> bool:
    """Whether its receipt said that a majority had it on disk."""
    return send.kind is Kind.OK and send.synced is not None and send.synced >= majority(replicas)


def check_receipts(sends: Iterable[Send], lost: Iterable[Send], replicas: int) -> list[Anomaly]:
    """Acknowledged too early, or what was said is not true: `lost` are those that are gone."""
    found = [
        Anomaly(
            "receipt below majority",
            f"{send.value} at {send.partition}@{send.offset} was acknowledged by {send.synced} of {replicas}",
            proof(send.operation),
        )
        for send in sends
        if send.kind is Kind.OK and send.synced is not None and not promised(send, replicas)
    ]
    return found + [
        Anomaly(
            RECEIPT_LIED,
            f"{send.value} was said to be on {send.synced} disks of {replicas}, at {send.partition}@{send.offset}",
            proof(send.operation),
        )
        for send in lost
        if promised(send, replicas)
    ]
