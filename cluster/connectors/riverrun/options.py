"""What a user says of another cluster of riverrun."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from cluster.config import TlsOptions
from cluster.connectors.contract import Guarantee
from cluster.errors import InvalidRoute

if TYPE_CHECKING:
    from cluster.connectors.riverrun.sink import TopicSink
    from cluster.connectors.riverrun.source import TopicSource

SHARES_MAX = 1_000


class _There(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the other cluster is, and how TLS is spoken with it."""

    servers: str
    topic: str
    ca: str = ""
    cert: str = ""
    key_file: str = ""

    @property
    def tls(self) -> TlsOptions | None:
        """None: nothing is said of TLS."""
        if not (self.ca or self.cert):
            return None
        return TlsOptions(ca_file=self.ca, cert_file=self.cert, key_file=self.key_file)

    def _check_tls(self) -> None:
        if bool(self.cert) != bool(self.key_file):
            raise InvalidRoute("cert and key_file belong together: one is missing")


class RiverrunTopic(_There, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="riverrun"):
    """Capture a topic of another cluster.

    `servers`: `host:port`, several with commas between. `ca`, `cert`, `key_file`: paths of PEM files, for TLS.
    `start`: earliest or latest. `tasks`: readers side by side, each of its share of the partitions.
    """

    start: str = "earliest"
    tasks: int = 1

    @property
    def summary(self) -> str:
        """See SourceOptions."""
        return f"riverrun {self.servers}, topic {self.topic}"

    @property
    def guarantee(self) -> Guarantee:
        """See SourceOptions."""
        return Guarantee.EXACTLY_ONCE

    def check(self) -> None:
        """See SourceOptions."""
        if self.start not in {"earliest", "latest"}:
            raise InvalidRoute(f'start is {self.start!r}; "earliest" or "latest"')
        if not 1 <= self.tasks <= SHARES_MAX:
            raise InvalidRoute(f"tasks is {self.tasks}; from 1 to {SHARES_MAX}")
        self._check_tls()

    def shares(self) -> Sequence[str]:
        """See SourceOptions."""
        return [str(number) for number in range(self.tasks)]

    def open(self, share: str, identity: str) -> "TopicSource":  # noqa: ARG002  it has no name of its own there
        """See SourceOptions."""
        from cluster.connectors.riverrun.source import TopicSource  # noqa: PLC0415  gRPC comes with it

        return TopicSource(self, int(share))


class RiverrunTopicSink(
    _There, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind", tag="riverrun"
):
    """Write to a topic of another cluster, and be the only one that does. It has as many partitions as the input.

    `ca`, `cert`, `key_file`: paths of PEM files, for TLS.
    """

    @property
    def summary(self) -> str:
        """See SinkOptions."""
        return f"riverrun {self.servers}, topic {self.topic}"

    @property
    def guarantee(self) -> Guarantee:
        """See SinkOptions."""
        return Guarantee.EXACTLY_ONCE

    @property
    def keeps_position(self) -> bool:
        """See SinkOptions: the position is in the records, and there may be none to say it."""
        return False

    @property
    def hold_s(self) -> float:
        """See SinkOptions."""
        return 0.0

    @property
    def batch_records_max(self) -> int:
        """See SinkOptions."""
        return 1_000

    def check(self) -> None:
        """See SinkOptions."""
        if not self.topic:
            raise InvalidRoute("topic is empty")
        self._check_tls()

    def open(self, identity: str) -> "TopicSink":  # noqa: ARG002  lanes are its names there
        """See SinkOptions."""
        from cluster.connectors.riverrun.sink import TopicSink  # noqa: PLC0415  gRPC comes with it

        return TopicSink(self)
