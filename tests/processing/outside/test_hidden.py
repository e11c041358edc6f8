"""Secrets of a destination are in nothing that a work leaves behind: dead letters are kept, and failures shown."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.connectors.http.options import WebhookTarget
from cluster.processing.app import App
from cluster.processing.hosting.frames import (
    Done,
    HostFrame,
    NodeFrame,
    Open,
    ReadState,
    Run,
    StateRead,
    decode_host_frame,
    encode,
)
from cluster.processing.hosting.serving import Serving
from cluster.processing.policies import OnError, dead_letter, skip
from tests.processing.outside.stages import work
from tests.servers.webhooks import Webhooks

SECRET = "T024BE7LD/s3cret-word"
pytestmark = [pytest.mark.slow]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Webhooks]:
    """It runs, and ends with the test."""
    made = Webhooks(tmp_path)
    made.start()
    yield made
    made.kill()


class Asked:
    """See BlockingPipe: a node that asks for this, and then for nothing more."""

    def __init__(self, *frames: NodeFrame) -> None:
        self.answers: list[HostFrame] = []
        self._frames = [encode(frame) for frame in frames]

    def send(self, frame: bytes) -> None:
        """An answer, or a question about state, of which there is none."""
        answer = decode_host_frame(frame)
        self.answers.append(answer)
        if isinstance(answer, ReadState):
            self._frames.insert(0, encode(StateRead(values=[None for _ in answer.places])))

    def receive(self) -> bytes | None:
        """What is next."""
        return self._frames.pop(0) if self._frames else None


@pytest.mark.parametrize("on_error", [skip(), dead_letter(retries=0)])
def test_a_refused_record_does_not_tell_where_it_was_sent_to(
    server: Webhooks, monkeypatch: pytest.MonkeyPatch, on_error: OnError
) -> None:
    """The path of a webhook is its password, and the refusal names it."""
    monkeypatch.setenv("HOOK", SECRET)
    app = App("told")
    app.sink(app.topic("in"), WebhookTarget(url=f"{server.url}/${{HOOK}}"), name="out", on_error=on_error)
    pipe = Asked(
        Open(seat=1, stage="out", version=1, task=0, tasks=1, partitions=1, identity="told"),
        Run(seat=1, committed=0, work=work(1, b'{"answer": 400}')),
    )
    Serving(app, pipe, 1 << 20).serve()

    (effects,) = [answer.effects for answer in pipe.answers if isinstance(answer, Done)]
    assert effects.failure is not None
    assert "${HOOK} answers 400" in effects.failure.error
    headers = [value.decode() for output in effects.outputs for _, value in output.headers]
    assert bool(headers) == (on_error.how == "dead_letter")
    for said in (effects.failure.error, *headers):
        assert SECRET not in said
