"""What a user writes of an MQTT broker as a source or a destination. Needs no library.

from = { kind = "mqtt", host = "broker", topics = ["site/+/temperature"], key = "level:2" }
to = { kind = "mqtt", host = "broker", topic = "alerts/{region}", retain = true }
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import msgspec

from cluster.connectors.contract import Guarantee, Sink, Source
from cluster.connectors.durations import check_duration
from cluster.connectors.mqtt.topics import check_filter, check_topic, key_level, plain_name
from cluster.connectors.templates import Template
from cluster.errors import InvalidRoute

PORT, TLS_PORT = 1883, 8883
READERS_MAX = 64
KEEPALIVE_S_MAX = 65535.0
TIMEOUT_S_MAX = 300.0
EXPIRY_S_MAX = 2.0**32 - 2
"""One more means for ever."""
BATCH_RECORDS_MAX = 500


class MqttBroker(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, tag_field="kind"):
    """Where it is, and as whom it is talked to. `ca`, `cert`, `key_file`: paths of PEM files, for TLS."""

    host: str
    port: Annotated[int, msgspec.Meta(ge=1, le=65535)] | None = None
    """None: 1883, or 8883 with TLS."""
    version: Literal["5", "3.1.1"] = "5"
    user: str = ""
    password: str = ""
    tls: bool = False
    ca: str = ""
    """"": the machine's own."""
    cert: str = ""
    key_file: str = ""
    keepalive: str = "30s"
    """A connection without an answer for half as long again is lost."""
    timeout: str = "10s"
    """Of connecting, and of every acknowledgement."""

    @property
    def address(self) -> str:
        """For people."""
        return f"{self.host}:{self.port or (TLS_PORT if self.tls else PORT)}"

    def __repr__(self) -> str:
        """Without the password."""
        return f"<{type(self).__name__} {self.address}>"

    def check(self) -> None:
        """InvalidRoute: they contradict themselves. Asks nobody."""
        if not self.host:
            raise InvalidRoute("host is empty: it names the MQTT broker")
        if self.password and not self.user:
            raise InvalidRoute("there is a password without a user")
        if not self.tls and (self.ca or self.cert or self.key_file):
            raise InvalidRoute("ca, cert and key_file are of TLS, which is off: write tls = true")
        if bool(self.cert) != bool(self.key_file):
            raise InvalidRoute("cert and key_file belong together: one is missing")
        check_duration(self.keepalive, "keepalive", least_s=1, most_s=KEEPALIVE_S_MAX)
        check_duration(self.timeout, "timeout", least_s=0.1, most_s=TIMEOUT_S_MAX)


class MqttSource(MqttBroker, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="mqtt"):
    """Messages of topics. Where two filters match one message, its broker may send it for each of them."""

    topics: Annotated[list[str], msgspec.Meta(min_length=1, max_length=1000)]
    """Filters: `site/+/temperature`, `plant/#`."""
    readers: Annotated[int, msgspec.Meta(ge=1, le=READERS_MAX)] = 1
    """More than one: they share the messages among them (a shared subscription)."""
    group: str = ""
    """Of a shared subscription; "" with several readers: named after the deployment."""
    retained: Literal["take", "new", "skip", ""] = ""
    """What the broker has kept of before: taken each time that it is connected to; only when a subscription is new
    (MQTT 5); or not at all. "": as "new" where that can be had, else as "take"; shared subscriptions get none."""
    key: str = "topic"
    """Or "level:2": the second level of it."""
    format: Literal["json", "text", "bytes"] = "json"
    receive_max: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 1000
    """So many messages are unacknowledged at once. In MQTT 3.1.1 the broker's own limit holds."""
    session_expiry: str = "7d"
    """How long the broker keeps the session while nobody is there (MQTT 5; in 3.1.1 the broker decides)."""
    client_id: str = ""
    """"": made of the deployment's name. Of several readers each puts its number behind it."""

    @property
    def summary(self) -> str:
        """For people, without secrets."""
        return f"mqtt {self.address}, {', '.join(self.topics[:3])}{', …' if len(self.topics) > 3 else ''}"

    @property
    def guarantee(self) -> Guarantee:
        """What QoS 1 allows: again after a lost connection."""
        return Guarantee.AT_LEAST_ONCE

    @property
    def shared(self) -> bool:
        """It is a shared subscription."""
        return self.readers > 1 or bool(self.group)

    def check(self) -> None:
        """InvalidRoute: they contradict themselves. Asks nobody."""
        super().check()
        for written in self.topics:
            check_filter(written)
        if len(set(self.topics)) < len(self.topics):
            raise InvalidRoute("one of the topics is written twice")
        key_level(self.key)
        check_duration(self.session_expiry, "session_expiry", least_s=1, most_s=EXPIRY_S_MAX)
        if any(sign in self.group for sign in "/+#\x00"):
            raise InvalidRoute(f"group is {self.group!r}; it must not have '/', '+' or '#' in it")
        if self.shared and self.retained in {"take", "new"}:
            raise InvalidRoute(
                f'no broker sends retained messages to a group of readers: retained is "{self.retained}"'
            )
        if self.shared and self.version != "5":
            # A broker that does not know them would take it for the name of a topic, and send nothing, without a word.
            raise InvalidRoute("shared subscriptions (readers, group) are of MQTT 5")
        if self.retained == "new" and self.version != "5":
            raise InvalidRoute('retained = "new" needs MQTT 5: in 3.1.1 they come with every connection')

    def shares(self) -> Sequence[str]:
        """One for each reader."""
        return [""] if self.readers == 1 else [str(number) for number in range(self.readers)]

    def open(self, share: str, identity: str) -> Source:
        """Does not connect yet."""
        from cluster.connectors.mqtt.source import MessageSource  # noqa: PLC0415  the library is an extra

        self.check()  # now with what stood in the place of secrets
        name = "-".join(part for part in (self.client_id or f"riverrun-{plain_name(identity)}", share) if part)
        group = (self.group or plain_name(identity)) if self.shared else ""
        return MessageSource(self, client_id=name, group=group)


class MqttSink(MqttBroker, frozen=True, kw_only=True, forbid_unknown_fields=True, tag="mqtt"):
    """Publishes each record: bytes as they are, all else as JSON, a deletion as an empty message."""

    topic: str
    """With fields of the record: `alerts/{region}`; `{key}` is its key."""
    qos: Literal[0, 1] = 1
    """0: the broker has it when it counts as sent, and keeps it for nobody who is away."""
    retain: bool = False
    in_flight_max: Annotated[int, msgspec.Meta(ge=1, le=65535)] = 100
    """So many are unacknowledged at once, or fewer if the broker wants that (MQTT 5)."""

    @property
    def summary(self) -> str:
        """For people, without secrets."""
        return f"mqtt {self.address}, {self.topic}"

    @property
    def guarantee(self) -> Guarantee:
        """What QoS 1 allows: again after a crash."""
        return Guarantee.AT_LEAST_ONCE

    @property
    def hold_s(self) -> float:
        """Nothing is held."""
        return 0.0

    @property
    def batch_records_max(self) -> int:
        """Mosquitto takes as many within a tenth of a second."""
        return BATCH_RECORDS_MAX

    def check(self) -> None:
        """InvalidRoute: they contradict themselves. Asks nobody."""
        super().check()
        template = Template(self.topic, "topic")
        check_topic(template.example)

    def open(self, identity: str) -> Sink:
        """Does not connect yet. Connections have ids of their own: lanes of one deployment are on several nodes."""
        from cluster.connectors.mqtt.sink import MessageSink  # noqa: PLC0415  the library is an extra

        self.check()  # now with what stood in the place of secrets
        return MessageSink(self, name=plain_name(identity))
