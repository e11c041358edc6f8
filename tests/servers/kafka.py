"""Apache Kafka of the tests' own: one node, broker and controller at once. `make servers` has its jars where Maven is.

What it acknowledged is in the page cache, which outlives SIGKILL. It takes some seconds to start.
"""

import contextlib
import os
import time
from functools import cached_property
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic, OffsetSpec

from tests.servers import JARS
from tests.servers.certificates import make_certificates
from tests.servers.process import ServerProcess

USER, PASSWORD = "alice", "s3cret-of-alice"
WAIT_S = 20.0
LOOK_S = 0.05
_SETTINGS = """
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller},SASL://127.0.0.1:{sasl},SSL://127.0.0.1:{tls}
controller.listener.names=CONTROLLER
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SASL:SASL_PLAINTEXT,SSL:SSL
listener.name.sasl.sasl.enabled.mechanisms=PLAIN
listener.name.sasl.plain.sasl.jaas.config={login} required user_{user}="{password}";
listener.name.ssl.ssl.keystore.type=PEM
listener.name.ssl.ssl.keystore.location={folder}/server-both.pem
listener.name.ssl.ssl.truststore.type=PEM
listener.name.ssl.ssl.truststore.location={folder}/ca.pem
listener.name.ssl.ssl.client.auth=required
log.dirs={folder}/data
auto.create.topics.enable=false
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=1
log.segment.delete.delay.ms=100
group.coordinator.rebalance.protocols=classic
"""
_LOGIN = "org.apache.kafka.common.security.plain.PlainLoginModule"
_META = "version=1\ncluster.id=cml2ZXJydW4tdGVzdHMtMQ\nnode.id=1\ndirectory.id=cml2ZXJydW4tdGVzdHMtMQ\n"
_LOGGING = "rootLogger.level=WARN\nrootLogger.appenderRef.c.ref=C\nappender.c.type=Console\nappender.c.name=C\n"


class KafkaServer(ServerProcess):
    """Topics are not made by being used. It listens without anything, with passwords, and with certificates."""

    start_s_max = 60.0

    def __init__(self) -> None:
        if not any(JARS.glob("kafka_*.jar")):
            (pytest.fail if os.environ.get("CI") else pytest.skip)("Apache Kafka is missing: make servers")
        super().__init__("java")
        self.sasl_port, self.tls_port = self.port + 2, self.port + 3
        make_certificates(self.directory)
        both = "".join((self.directory / name).read_text() for name in ("server.key", "server.pem"))
        (self.directory / "server-both.pem").write_text(both)
        data = self.directory / "data"
        data.mkdir()
        (data / "meta.properties").write_text(_META)
        (self.directory / "log4j2.properties").write_text(_LOGGING)
        (self.directory / "server.properties").write_text(
            _SETTINGS.format(
                port=self.port,
                controller=self.port + 1,
                sasl=self.sasl_port,
                folder=self.directory,
                tls=self.tls_port,
                login=_LOGIN,
                user=USER,
                password=PASSWORD,
            )
        )

    @property
    def servers(self) -> str:
        """For a connector."""
        return f"127.0.0.1:{self.port}"

    def command(self) -> list[str | Path]:
        """In the foreground; compiled little, for it does not live long."""
        machine = [
            "-Xmx320m",
            "-XX:TieredStopAtLevel=1",
            "-XX:+UseSerialGC",
            "-Dlog4j2.configurationFile=log4j2.properties",
        ]
        return [self.program, *machine, "-cp", f"{JARS}/*", "kafka.Kafka", "server.properties"]

    def accepts(self) -> bool:
        """Whether it says what it has: it listens a little before."""
        if not super().accepts():
            return False
        with contextlib.suppress(KafkaException):
            return bool(self.admin.list_topics(timeout=2.0).brokers)
        return False

    @cached_property
    def admin(self) -> AdminClient:
        """To make things there. It lives as long as what it was asked for."""
        return AdminClient({"bootstrap.servers": self.servers, "log_level": 0, "reconnect.backoff.max.ms": 500})

    def topic(self, name: str, partitions: int = 1, **settings: str) -> str:
        """Make it."""
        config = {key.replace("_", "."): value for key, value in settings.items()}
        self.admin.create_topics([NewTopic(name, partitions, 1, config=config)])[name].result(WAIT_S)
        self.ends(name)
        return name

    def grow(self, name: str, partitions: int) -> None:
        """It has so many now."""
        self.admin.create_partitions([NewPartitions(name, partitions)])[name].result(WAIT_S)

    def producer(self, **settings: object) -> Producer:
        """Of the tests."""
        made = {"bootstrap.servers": self.servers, "log_level": 0, "enable.idempotence": True}
        return Producer(made | {name.replace("_", "."): value for name, value in settings.items()})

    def produce(self, topic: str, *values: bytes, partition: int = 0) -> None:
        """They are there when it returns."""
        faults: list[object] = []

        def settled(error: object, _: Message) -> None:
            if error is not None:
                faults.append(error)

        producer = self.producer()
        for value in values:
            producer.produce(topic, value, partition=partition, on_delivery=settled)
        assert producer.flush(WAIT_S) == 0
        assert faults == []

    def ends(self, topic: str) -> dict[int, int]:
        """Where each partition ends that has something; waits while one has no leader."""
        give_up = time.perf_counter() + WAIT_S
        while True:
            try:
                return self._ends(topic)
            except KafkaException:
                assert time.perf_counter() < give_up, f"{topic} has no leaders"
                time.sleep(LOOK_S)

    def _ends(self, topic: str) -> dict[int, int]:
        partitions = self.admin.list_topics(topic, timeout=WAIT_S).topics[topic].partitions
        asked = {TopicPartition(topic, number): OffsetSpec.latest() for number in partitions}
        answers = self.admin.list_offsets(asked)
        ends = {place.partition: answer.result(WAIT_S).offset for place, answer in answers.items()}
        return {number: end for number, end in ends.items() if end}
