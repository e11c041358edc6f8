"""What a client's errors mean to whoever captures from, or delivers to, another cluster. Pure."""

from cluster.errors import Fault, InvalidRoute, Outcome, RecordRefused, RecordTooLarge, RiverrunError, Unreachable


def failure_of(error: RiverrunError, where: str) -> RiverrunError:
    """Unreachable where another try may help, InvalidRoute where only a person can."""
    if isinstance(error, Unreachable | InvalidRoute | RecordRefused):
        return error
    if isinstance(error, RecordTooLarge):
        return RecordRefused(f"{where}: {error.message}")
    if error.retry or error.outcome is Outcome.UNKNOWN or error.fault is Fault.CLUSTER:
        return Unreachable(f"{where}: {error.message}")
    return InvalidRoute(f"{where}: {error.message}")
