"""What riverrun captures from and routes to: databases, brokers, files, services. One contract for all (`contract`).

Rules:
1. A connector knows its peer and nothing else: no topic, no task, no cluster. Whoever runs it hands it a cursor and
   takes what it read, or hands it records and takes its word that they are there.
2. Captured and remembered are one: the cursor behind what was read is in the commit that holds what was read. A source
   tells its peer that it may forget only after that commit (`Source.committed`).
3. What a sink promises is declared (`Guarantee`), shown, and tested with kills of both sides.
4. A peer that is away is waited for (Unreachable); a record that the peer will never take is named (RecordRefused);
   what only a person can mend says what and where in one sentence (InvalidRoute). Nothing is dropped, and no secret is
   in any message.
5. A limit on everything: what is read ahead, what is in flight, how long a call may take.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cluster.connectors.files.options import FileTail
    from cluster.connectors.http.options import Webhook, WebhookTarget
    from cluster.connectors.kafka.options import KafkaSink, KafkaSource
    from cluster.connectors.mqtt.options import MqttSink, MqttSource
    from cluster.connectors.objects.options import FilesSink, ObjectsSource
    from cluster.connectors.postgres.options import PostgresSink, PostgresSource
    from cluster.connectors.redis.options import RedisSink
    from cluster.connectors.riverrun.options import RiverrunTopic, RiverrunTopicSink
    from cluster.connectors.sqlite.options import SqliteSink

__all__ = [
    "FileTail",
    "FilesSink",
    "KafkaSink",
    "KafkaSource",
    "MqttSink",
    "MqttSource",
    "ObjectsSource",
    "PostgresSink",
    "PostgresSource",
    "RedisSink",
    "RiverrunTopic",
    "RiverrunTopicSink",
    "SqliteSink",
    "Webhook",
    "WebhookTarget",
]
_MODULES = {
    "FileTail": "files",
    "FilesSink": "objects",
    "KafkaSink": "kafka",
    "KafkaSource": "kafka",
    "MqttSink": "mqtt",
    "MqttSource": "mqtt",
    "ObjectsSource": "objects",
    "PostgresSink": "postgres",
    "PostgresSource": "postgres",
    "RedisSink": "redis",
    "RiverrunTopic": "riverrun",
    "RiverrunTopicSink": "riverrun",
    "SqliteSink": "sqlite",
    "Webhook": "http",
    "WebhookTarget": "http",
}
"""What an app names as a source or a sink, and the folder that it is imported from when it is asked for."""


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}.options"), name)
