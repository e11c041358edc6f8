"""Errors as they travel: `google.rpc.Status` with `ErrorInfo{reason, domain "riverrun"}`, `RetryInfo` where it helps.

What comes without details (from a proxy, or gRPC itself) is mapped by its gRPC code. Whether something may have been
done decides between Unavailable (nothing was) and OutcomeUnknown.
"""

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError
from google.rpc import code_pb2, error_details_pb2, status_pb2

from cluster.errors import (
    DOMAIN,
    REASONS,
    Closed,
    DeadlineExceeded,
    InvalidRequest,
    OutcomeUnknown,
    Overloaded,
    RiverrunError,
    Unavailable,
    Unsupported,
)
from cluster.world import MESSAGE_BYTES_MAX

RETRY_DELAY_MS = 50
TEXT_BYTES_MAX = 1_000
"""Of an error's message: it travels twice, in trailing metadata, which gRPC may refuse beyond 8 KiB in all."""
STATUS_KEY = "grpc-status-details-bin"
"""The trailing metadata that carries an encoded Status."""


def status_of(error: RiverrunError) -> status_pb2.Status:
    """The Status that tells this error."""
    text = error.message.encode(errors="replace")[:TEXT_BYTES_MAX].decode(errors="ignore")
    status = status_pb2.Status(code=code_pb2.Code.Value(error.code), message=text)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    if error.retry:
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=Duration(nanos=RETRY_DELAY_MS * 1_000_000)))
    return status


def error_of(status: bytes) -> RiverrunError | None:
    """The error that an encoded Status tells; None if it is none of ours, or was damaged on its way."""
    try:
        decoded = status_pb2.Status.FromString(status)
        for detail in decoded.details:
            info = error_details_pb2.ErrorInfo()
            if detail.Unpack(info) and info.domain == DOMAIN:
                return error_from(info.reason, decoded.message, dict(info.metadata))
    except DecodeError:
        return None
    return None


def error_from(reason: str, message: str, metadata: dict[str, str]) -> RiverrunError:
    """The error of that reason; one that this version does not know is not repeated."""
    cls = REASONS.get(reason, RiverrunError)
    return cls(message, **metadata)


def error_of_code(code: str, message: str, *, sent: bool) -> RiverrunError:
    """The error for a bare gRPC code. `sent`: the request may have reached the other side; else `metadata` says no."""
    match code:
        case "UNAVAILABLE":
            return OutcomeUnknown(message) if sent else Unavailable(message, reached="no")
        case "DEADLINE_EXCEEDED":
            return DeadlineExceeded(message)
        case "RESOURCE_EXHAUSTED":
            return Overloaded(message)
        case "UNIMPLEMENTED":
            return Unsupported(message)
        case "INVALID_ARGUMENT":
            return InvalidRequest(message)
        case "CANCELLED":
            return OutcomeUnknown(message) if sent else Closed(message)
        case _:
            return OutcomeUnknown(f"{code}: {message}") if sent else RiverrunError(f"{code}: {message}")


def refuse_oversized(message: bytes) -> None:
    """InvalidRequest for a message that is more than any network carries; nothing of it was sent."""
    if len(message) > MESSAGE_BYTES_MAX:
        raise InvalidRequest(f"a message of {len(message)} bytes: at most {MESSAGE_BYTES_MAX} can be sent in one")
