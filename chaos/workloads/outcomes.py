"""How an operation ended, by what it raised: definitely not done, or not known."""

from chaos.history import Kind
from cluster.errors import Outcome, RiverrunError


def kind_of(error: BaseException) -> Kind:
    """`fail` only for what the cluster says was not done; anything else may have happened."""
    known = isinstance(error, RiverrunError) and error.outcome is Outcome.NOTHING
    return Kind.FAIL if known else Kind.INFO


def reason_of(error: BaseException) -> str:
    """A word for the history."""
    return error.reason if isinstance(error, RiverrunError) else type(error).__name__
