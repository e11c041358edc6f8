"""What of a topic is kept, as it travels: `TopicConfig` to and from the public messages."""

from collections.abc import Sequence

from cluster.errors import InvalidRequest
from cluster.metadata import CONFIG_NAMES, TopicConfig
from cluster.wire.api import topic_pb2


def config_from_pb(message: topic_pb2.TopicConfig) -> TopicConfig:
    """The value; InvalidRequest for a limit that is none."""
    config = config_as_told(message)
    if objection := config.objection():
        raise InvalidRequest(objection)
    return config


def config_as_told(message: topic_pb2.TopicConfig) -> TopicConfig:
    """The value, of what a node says: what a newer one knows beyond it is passed over."""
    return TopicConfig(
        **{name: getattr(message, name) if message.HasField(name) else None for name in CONFIG_NAMES}  # type: ignore[arg-type]
    )


def config_to_pb(config: TopicConfig) -> topic_pb2.TopicConfig:
    """The message; InvalidRequest for a limit that is none."""
    if objection := config.objection():
        raise InvalidRequest(objection)
    message = topic_pb2.TopicConfig()
    for name in CONFIG_NAMES:
        value = getattr(config, name)
        if value is not None:
            setattr(message, name, value)
    return message


def unset_from_pb(names: Sequence[str]) -> list[str]:
    """Names of settings; InvalidRequest for what is no setting."""
    for name in names:
        if name not in CONFIG_NAMES:
            raise InvalidRequest(f"a topic has no setting {name!r}; there are {', '.join(CONFIG_NAMES)}")
    return list(names)
