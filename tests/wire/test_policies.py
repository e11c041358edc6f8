"""What of a topic is kept, over the wire."""

import pytest

from cluster.errors import InvalidRequest
from cluster.metadata import TopicConfig
from cluster.wire.api import topic_pb2
from cluster.wire.policies import config_from_pb, config_to_pb, unset_from_pb


@pytest.mark.parametrize(
    "config",
    [
        TopicConfig(),
        TopicConfig(retention_ms=1),
        TopicConfig(retention_bytes=2, lagging_bytes_max=1 << 62),
        TopicConfig(compacted=True, tombstone_ms=1),
        TopicConfig(compacted=False),
    ],
)
def test_limits_travel_and_so_does_that_there_is_none(config: TopicConfig):
    """There and back."""
    assert config == config_from_pb(topic_pb2.TopicConfig.FromString(config_to_pb(config).SerializeToString()))


@pytest.mark.parametrize(
    "message",
    [
        topic_pb2.TopicConfig(retention_ms=0),
        topic_pb2.TopicConfig(retention_bytes=-5),
        topic_pb2.TopicConfig(compacted=True, tombstone_ms=0),
    ],
)
def test_what_is_no_limit_is_refused(message: topic_pb2.TopicConfig):
    """By its type."""
    with pytest.raises(InvalidRequest):
        config_from_pb(message)


@pytest.mark.parametrize("value", [0, -1, 1 << 63])
def test_what_is_no_limit_does_not_travel(value: int):
    """It is refused where it was said."""
    with pytest.raises(InvalidRequest, match="retention_bytes"):
        config_to_pb(TopicConfig(retention_bytes=value))


def test_only_settings_can_be_unset():
    """By their names."""
    assert ["retention_ms", "compacted"] == unset_from_pb(["retention_ms", "compacted"])
    with pytest.raises(InvalidRequest, match="colour"):
        unset_from_pb(["colour"])
