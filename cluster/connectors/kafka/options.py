"""What a user writes of Apache Kafka as a source or a destination. Needs no library.

from = { kind = "kafka", bootstrap_servers = "k1:9092,k2:9092", topics = ["orders"], tasks = 3 }
to = { kind = "kafka", bootstrap_servers = "k1:9092", topic = "alerts" }
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import msgspec

from cluster.connectors.contract import Guarantee, Sink, Source
from cluster.connectors.durations import check_duration, duration_s
from cluster.errors import InvalidRoute

TASKS_MAX = 1000
TIMEOUT_S_MAX = 15.0
"""Whoever hands over a piece waits little longer."""
BATCH_RECORDS_MAX = 1000
_OURS = {
    "acks": "all replicas in sync have what counts as written",
    "allow.auto.create.topics": "a source makes no topics",
    "auto.offset.reset": "write start",
    "bootstrap.servers": "write bootstrap_servers",
    "delivery.timeout.ms": "write timeout",
    "enable.auto.commit": "the cursor is kept here",
    "enable.auto.offset.store": "the cursor is kept here",
    "enable.idempotence": "Kafka is to take nothing twice",
    "enable.partition.eof": "a source has no end",
    "group.id": "partitions are dealt out by tasks",
    "isolation.level": "only what was committed is read",
    "message.timeout.ms": "write timeout",
    "request.required.acks": "all replicas in sync have what counts as written",
    "sasl.password": "write sasl_password",
    "sasl.username": "write sasl_username",
    "security.protocol": "write security_protocol",
    "transactional.id": "nothing is written in transactions",
}
"""What `config` may not say, for what is promised rests on it, or it has an option of its own."""


class KafkaCluster(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Where it is, and as whom it is talked to. Paths are of PEM files."""

    bootstrap_servers: str
    """`host:port`, several with commas between."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "SCRAM-SHA-512"
    sasl_username: str = ""
    sasl_password: str = ""
    ssl_ca_location: str = ""
    """"": the machine's own."""
    ssl_certificate_location: str = ""
    ssl_key_location: str = ""
    ssl_key_password: str = ""
    timeout: str = "10s"
    """Of connecting and of every answer; a record that is not acknowledged within it is in doubt."""
    config: Mapping[str, str] = {}
    """More, as librdkafka names it: `"client.rack" = "eu-1"`. What promises rest on cannot be said here."""

    def __repr__(self) -> str:
        """Without passwords."""
        return f"<{type(self).__name__} {self.bootstrap_servers}>"

    @property
    def timeout_s(self) -> float:
        """Seconds."""
        return duration_s(self.timeout, "timeout")

    def check(self) -> None:
        """InvalidRoute: they contradict themselves. Asks nobody."""
        if "${" not in self.bootstrap_servers:
            for server in self.bootstrap_servers.split(","):
                host, _, port = server.strip().rpartition(":")
                if not host or "/" in host or "@" in host or not port.isdecimal() or not 0 < int(port) < 65_536:
                    raise InvalidRoute('bootstrap_servers is not right: write "host:9092", several with commas between')
        sasl = self.security_protocol.startswith("SASL")
        if sasl != bool(self.sasl_username) or sasl != bool(self.sasl_password):
            raise InvalidRoute(
                f"security_protocol is {self.security_protocol}: "
                + ("it needs sasl_username and sasl_password" if sasl else "a user is of SASL_SSL or SASL_PLAINTEXT")
            )
        files = self.ssl_ca_location or self.ssl_certificate_location or self.ssl_key_location
        if files and not self.security_protocol.endswith("SSL"):
            raise InvalidRoute(f"security_protocol is {self.security_protocol}: certificates are of SSL or SASL_SSL")
        if bool(self.ssl_certificate_location) != bool(self.ssl_key_location):
            raise InvalidRoute("ssl_certificate_location and ssl_key_location belong together: one is missing")
        for name in self.config:
            if name in _OURS:
                raise InvalidRoute(f"config may not say {name!r}: {_OURS[name]}")
        check_duration(self.timeout, "timeout", least_s=1, most_s=TIMEOUT_S_MAX)


class KafkaSource(KafkaCluster, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="kafka"):
    """Records of topics, each once. They keep key, time and headers, and say where they stood (`kafka_offset`, …)."""

    topics: Annotated[tuple[str, ...], msgspec.Meta(min_length=1, max_length=1000)]
    start: Literal["earliest", "latest"] = "earliest"
    """Fixed when the route first looks. Partitions that are added later are read from their start."""
    tasks: Annotated[int, msgspec.Meta(ge=1, le=TASKS_MAX)] = 1
    """Readers side by side, each of its share of the partitions."""
    format: Literal["json", "text", "bytes"] = "json"
    """What is not json (or UTF-8 text) comes as the bytes that it is, with the header `rr-undecoded`."""
    look: str = "30s"
    """How often it is asked for partitions that were added."""

    @property
    def summary(self) -> str:
        """For people, without secrets."""
        shown = ", ".join(self.topics[:3]) + (", …" if len(self.topics) > 3 else "")
        return f"kafka {self.bootstrap_servers}, {'topic' if len(self.topics) == 1 else 'topics'} {shown}"

    @property
    def guarantee(self) -> Guarantee:
        """The cursor is committed with the records."""
        return Guarantee.EXACTLY_ONCE

    @property
    def look_s(self) -> float:
        """Seconds."""
        return duration_s(self.look, "look")

    def check(self) -> None:
        """As of KafkaCluster."""
        super().check()
        for topic in self.topics:
            _check_topic(topic)
        if len(set(self.topics)) < len(self.topics):
            raise InvalidRoute("one of the topics is written twice")
        check_duration(self.look, "look", least_s=0.1, most_s=3600)

    def shares(self) -> Sequence[str]:
        """One for each task."""
        return [str(number) for number in range(self.tasks)]

    def open(self, share: str, identity: str) -> Source:
        """Does not connect yet."""
        from cluster.connectors.kafka.source import TopicsSource  # noqa: PLC0415  the library is an extra

        self.check()  # now with what stood in the place of secrets
        return TopicsSource(self, int(share), identity)


class KafkaSink(KafkaCluster, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="kafka"):
    """Writes each record to a topic: bytes as they are, all else as JSON, a deletion as a tombstone."""

    topic: str
    compression_type: Literal["none", "gzip", "snappy", "lz4", "zstd"] = "zstd"

    @property
    def summary(self) -> str:
        """For people, without secrets."""
        return f"kafka {self.bootstrap_servers}, topic {self.topic}"

    @property
    def guarantee(self) -> Guarantee:
        """Again after a crash, with the same id."""
        return Guarantee.AT_LEAST_ONCE

    @property
    def hold_s(self) -> float:
        """Nothing is held."""
        return 0.0

    @property
    def batch_records_max(self) -> int:
        """Kafka takes as many within a tenth of a second."""
        return BATCH_RECORDS_MAX

    def check(self) -> None:
        """As of KafkaCluster."""
        super().check()
        _check_topic(self.topic)

    def open(self, identity: str) -> Sink:
        """Does not connect yet."""
        from cluster.connectors.kafka.sink import TopicWriter  # noqa: PLC0415  the library is an extra

        self.check()  # now with what stood in the place of secrets
        return TopicWriter(self, identity)


def _check_topic(topic: str) -> None:
    """InvalidRoute: Kafka has no such names."""
    bare = topic.replace(".", "").replace("_", "").replace("-", "")
    right = bare.isascii() and (bare.isalnum() or not bare) and topic not in {"", ".", ".."} and len(topic) <= 249
    if "${" not in topic and not right:
        raise InvalidRoute(f"{topic!r} is no name of a Kafka topic: letters, digits, '.', '_' and '-', at most 249")
