"""What of a topic is kept, over the wire."""

import pytest

from cluster.errors import InvalidRequest, RiverrunError, Unsupported
from cluster.metadata import TopicConfig
from cluster.wire.api import topic_pb2
from cluster.wire.policies import config_from_pb, config_to_pb, unset_from_pb


@pytest.mark.parametrize(
    "config", [TopicConfig(), TopicConfig(retention_ms=1), TopicConfig(retention_bytes=2, lagging_bytes_max=1 << 62)]
)
def test_limits_travel_and_so_does_that_there_is_none(config: TopicConfig):
    """There and back."""
    assert config == config_from_pb(topic_pb2.TopicConfig.FromString(config_to_pb(config).SerializeToString()))


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (InvalidRequest, topic_pb2.TopicConfig(retention_ms=0)),
        (InvalidRequest, topic_pb2.TopicConfig(retention_bytes=-5)),
        (Unsupported, topic_pb2.TopicConfig(compacted=True)),
        (Unsupported, topic_pb2.TopicConfig(tombstone_ms=5)),
    ],
)
def test_what_is_no_limit_or_not_there_yet_is_refused(error: type[RiverrunError], message: topic_pb2.TopicConfig):
    """By its type."""
    with pytest.raises(error):
        config_from_pb(message)


@pytest.mark.parametrize("value", [0, -1, 1 << 63])
def test_what_is_no_limit_does_not_travel(value: int):
    """It is refused where it was said."""
    with pytest.raises(InvalidRequest, match="retention_bytes"):
        config_to_pb(TopicConfig(retention_bytes=value))


def test_only_settings_can_be_unset():
    """Those of compaction are not there yet."""
    assert ["retention_ms"] == unset_from_pb(["retention_ms"])
    with pytest.raises(InvalidRequest, match="colour"):
        unset_from_pb(["colour"])
    with pytest.raises(Unsupported):
        unset_from_pb(["compacted"])
