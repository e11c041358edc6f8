"""The works of a stage whose destination is a Redis: what is filtered out moves the position there, too."""

from collections.abc import Iterator
from contextlib import closing

import pytest

from cluster.errors import InvalidRoute
from cluster.processing.outside.background import Background
from tests.connectors.redis.writing import asking, options
from tests.processing.outside.stages import Numbered, delivery, keep, work
from tests.servers.redis import RedisServer

pytestmark = [pytest.mark.slow]


@pytest.fixture
def background() -> Iterator[Background]:
    """Closed with the test."""
    made = Background()
    yield made
    made.close()


def test_a_work_that_is_filtered_out_as_a_whole_does_not_end_the_route(
    server: RedisServer, background: Background
) -> None:
    """What comes behind it is written, by the same writer and by the one after it."""
    with asking(server) as client:
        client.flushall()
        written = options(server, key="filtered:{key}")
        with closing(delivery(written, background, transform=Numbered())[0]) as runner:
            runner.run(work(1, b"1"))
            runner.run(work(2, b'"none"', begin=1))
            runner.run(work(3, b"2", begin=2))
            assert b"2" == client.get("filtered:k")
            runner.run(work(4, b'"none"', begin=3))
        with closing(delivery(written, background, transform=Numbered())[0]) as runner:
            runner.run(work(5, b"3", begin=4))
            assert b"3" == client.get("filtered:k")


def test_a_redis_that_was_set_back_stops_the_route(server: RedisServer, background: Background) -> None:
    """Values that were there are not any more, and nobody else would say so."""
    with asking(server) as client:
        client.flushall()
        written = options(server, key="back:{key}")
        with closing(delivery(written, background)[0]) as runner:
            runner.run(work(1, b"1", b"2", b"3"))
        client.set("riverrun:position:told/in/0", 1)
        with (
            closing(delivery(written, background)[0]) as runner,
            pytest.raises(InvalidRoute, match="it was set back"),
        ):
            runner.run(work(2, b"4", begin=3))


def test_a_redis_that_was_emptied_stops_a_route_that_appends(server: RedisServer, background: Background) -> None:
    """Its entries would begin in the middle."""
    state: dict[tuple[str, bytes], bytes] = {}
    written = options(server, mode="list", key="emptied")
    with closing(delivery(written, background, state=state)[0]) as runner:
        keep(state, runner.run(work(1, b"1", b"2")))
    with asking(server) as client:
        client.flushall()
    with (
        closing(delivery(written, background, state=state)[0]) as runner,
        pytest.raises(InvalidRoute, match="knows nothing of told/in/0 any more"),
    ):
        runner.run(work(2, b"3", begin=2))
