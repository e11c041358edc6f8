"""A receiver that is slow, and a key that has most of what there is to be sent: it gets further all the same."""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from cluster.connectors.http.options import WebhookTarget
from cluster.errors import Unreachable
from cluster.processing.outside import delivery as deliveries
from cluster.processing.outside.background import Background
from tests.processing.outside.stages import delivery, work
from tests.servers.webhooks import Webhooks

pytestmark = [pytest.mark.slow]
RECORDS, ATTEMPTS_MAX = 12, 6


@pytest.fixture
def slow(tmp_path: Path) -> Iterator[Webhooks]:
    """A fifth of a second for each request."""
    made = Webhooks(tmp_path, delay_s=0.2)
    made.start()
    yield made
    made.kill()


def attempts(options: WebhookTarget, background: Background) -> int:
    """How often the work is begun, each time by a sink of its own, until it is done."""
    for attempt in range(1, ATTEMPTS_MAX + 1):
        with closing(delivery(options, background)[0]) as runner:
            try:
                runner.run(work(1, *[b'{"number": %d}' % number for number in range(RECORDS)]))
            except Unreachable:
                continue
            return attempt
    raise AssertionError("it is never done")


def test_one_key_that_takes_longer_than_a_write_may(slow: Webhooks, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was taken is not sent again by the next attempt, but for the one request that nobody waited for any more."""
    monkeypatch.setattr(deliveries, "WRITE_S_MAX", 1.0)
    background = Background()
    try:
        begun = attempts(WebhookTarget(url=slow.url, concurrency=3), background)
    finally:
        background.close()
    sent = Counter(each["value"]["number"] for each in slow.taken())
    assert set(range(RECORDS)) == set(sent)
    assert 1 < begun
    assert sent.total() <= RECORDS + begun - 1
    assert max(sent.values()) <= 2


def test_another_destination_is_sent_all_of_it(slow: Webhooks, tmp_path: Path) -> None:
    """What one has taken is remembered of that one."""
    other = Webhooks(tmp_path / "other")
    other.path.parent.mkdir()
    other.start()
    background = Background()
    try:
        for server in (slow, other):
            assert 1 == attempts(WebhookTarget(url=server.url), background)
            assert RECORDS == len(server.taken())
    finally:
        background.close()
        other.kill()
