"""A client's connection."""

from dataclasses import dataclass

from cluster.config.sizes import MIB


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """One client connection (`connect(...)`)."""

    linger_s: float = 0.005
    batch_bytes_max: int = 1 * MIB
    records_per_batch_max: int = 10_000
    codec: str = "none"
    """none, lz4 or zstd."""
    record_bytes_max: int = 1 * MIB
    """A larger record is refused before it is buffered; nodes have the same limit."""
    buffer_bytes_max: int = 64 * MIB
    """Produced and not acknowledged; beyond it `produce` waits."""
    batches_in_flight_max: int = 8
    """Per partition; at most as many as a partition remembers of a producer, 32."""
    connect_timeout_s: float = 3.0
    """Until one of the given servers has answered."""
    request_timeout_s: float = 10.0
    explain_timeout_s: float = 30.0
    """For an explanation: the node that is asked waits for those that do not answer."""
    delivery_timeout_s: float = 120.0
    """A record not acknowledged so long after `produce` fails; at most an hour, so that its sequence is still known."""
    retry_s_min: float = 0.02
    retry_s_max: float = 1.0
    read_window_bytes_max: int = 8 * MIB
    read_retry_s_max: float = 120.0
    """A reader that reaches no leader for so long fails."""
    metadata_age_s_max: float = 10.0
    """A topic is looked up again after so long, and with it which nodes there are: those that were given may all go."""
    ask_elsewhere_s: float = 1.5
    """Whoever has looked for a leader for so long asks another node: this one may be cut off from those who know."""
    commit_interval_s: float = 1.0
    """A member of a group commits what was processed this often."""
