"""The host's side: a blocking loop that does what the node asks for, one thing after another.

`Unread` passes through user code and through the runner's handling of what user code raises: state that cannot be had
is nobody's fault here, and no record is to blame.
"""

import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from cluster.connectors.secrets import Redactor
from cluster.errors import HostFailed, InvalidApp, ProcessorFailed, RefusedToStart, RiverrunError
from cluster.processing.app import App
from cluster.processing.async_calls import Loop
from cluster.processing.hosting.frames import (
    NO_SEAT,
    PROTOCOL,
    TOO_LARGE,
    Committed,
    Described,
    Done,
    Ended,
    Failed,
    HostFrame,
    NodeFrame,
    Open,
    Opened,
    ReadState,
    Run,
    Said,
    Shut,
    StateRead,
    decode_node_frame,
    encode,
    failed,
)
from cluster.processing.outside.background import Background
from cluster.processing.outside.capture import Capture
from cluster.processing.outside.delivery import DeliveryRunner
from cluster.processing.outside.inflow import Inflow
from cluster.processing.outside.own_secrets import opened
from cluster.processing.processor import Stage
from cluster.processing.runner import Runner
from cluster.processing.snapshot import Place
from cluster.processing.spec import Kind

FORGET_S_MAX = 10.0
OUT_OF_MEMORY = encode(Ended(cause="memory", why="it ran out of memory"))
"""Made before it is needed."""


class BlockingPipe(Protocol):
    """The connection to the node."""

    def send(self, frame: bytes) -> None:
        """Wait until it is on its way. OSError: the connection is none any more."""

    def receive(self) -> bytes | None:
        """Wait for the next one; None: the node has nothing more to ask, or is gone."""


class Unread(BaseException):
    """State cannot be had: the work is given up. Not an Exception, so that user code does not take it for its own."""


def serve(load: Callable[[], App], pipe: BlockingPipe, *, frame_bytes_max: int) -> None:
    """Load the code, and do what is asked until nothing more is.

    SystemExit: the code did not load, or took all the memory that there is; the node was told. Whatever else gets out
    of user code (SystemExit and the like) ends the process, too.
    """
    try:
        app = load()
        described = Described(protocol=PROTOCOL, specs=app.specs())
    except InvalidApp as error:
        pipe.send(encode(failed(NO_SEAT, error)))
        raise SystemExit(0) from None
    except MemoryError:
        pipe.send(OUT_OF_MEMORY)
        raise SystemExit(1) from None
    pipe.send(encode(described))
    try:
        Serving(app, pipe, frame_bytes_max).serve()
    except MemoryError:
        pipe.send(OUT_OF_MEMORY)
        raise SystemExit(1) from None


class Serving:
    """The runners of one app."""

    def __init__(self, app: App, pipe: BlockingPipe, frame_bytes_max: int) -> None:
        self._pipe = pipe
        self._sending = threading.Lock()
        """Sources and sinks speak from the connectors' thread."""
        self._background: Background | None = None
        self._redactors: dict[int, Redactor] = {}
        """Of sources and sinks, by their seats."""
        self._outside: dict[int, tuple[Any, str]] = {}
        """Their options and identities."""
        self._frame_bytes_max = frame_bytes_max
        self._stages: dict[tuple[str, int], Stage] = {
            (stage.spec.name, stage.spec.version): stage
            for processor in app.processors.values()
            for stage in processor.stages
        }
        self._app = app.name
        self._runners: dict[int, Runner] = {}
        self._loop = Loop()
        self._waiting: deque[NodeFrame] = deque()
        """What came while an answer about state was waited for."""

    def serve(self) -> None:
        """Until the node has nothing more to ask."""
        while (frame := self._next()) is not None:
            match frame:
                case Run():
                    self._run(frame)
                case Open():
                    self._open(frame)
                case Shut():
                    self._shut(frame.seat, forget=frame.forget)
                case Committed():
                    if frame.seat in self._runners:
                        self._runners[frame.seat].committed(frame.n)
                case StateRead():
                    raise RefusedToStart("the node sent state that nobody asked for")
        for seat in list(self._runners):
            self._shut(seat)
        if self._background is not None:
            self._background.close()
        self._loop.close()

    def _next(self) -> NodeFrame | None:
        if self._waiting:
            return self._waiting.popleft()
        data = self._pipe.receive()
        return None if data is None else decode_node_frame(data)

    def _send(self, frame: HostFrame) -> None:
        self._send_encoded(encode(frame))

    def _send_encoded(self, frame: bytes) -> None:
        with self._sending:
            self._pipe.send(frame)

    def _open(self, frame: Open) -> None:
        stage = self._stages.get((frame.stage, frame.version))
        if stage is None:
            there = ", ".join(f"{name}@{version}" for name, version in self._stages) or "none"
            error = InvalidApp(
                f"{self._app} has no processor {frame.stage} of version {frame.version} in this file; it has {there}"
            )
            self._send(failed(frame.seat, error))
            return
        try:
            self._runners[frame.seat] = self._runner(frame, stage)
        except Unread:
            self._send(Failed(seat=frame.seat, reason="UNAVAILABLE", message="state could not be read", metadata={}))
            return
        except RiverrunError as error:
            self._send(failed(frame.seat, error))
            return
        self._send(Opened(seat=frame.seat))
        self._say(frame.seat)

    def _runner(self, frame: Open, stage: Stage) -> Runner:
        read = partial(self._read, frame.seat)
        if stage.spec.kind not in {Kind.SOURCE, Kind.SINK}:
            return Runner(stage, read, task=frame.task, tasks=frame.tasks, partitions=frame.partitions, loop=self._loop)
        if self._background is None:
            self._background = Background()
        options, self._redactors[frame.seat] = opened(stage.outside)
        self._outside[frame.seat] = (options, frame.identity)
        say, shown = partial(self._say, frame.seat), self._redactors[frame.seat].redacted
        if stage.spec.kind is Kind.SOURCE:
            source = options.open(options.shares()[frame.task], frame.identity)
            inflow = partial(Inflow, source, background=self._background, on_change=say, what=stage.spec.name)
            return Capture(
                stage,
                read,
                task=frame.task,
                tasks=frame.tasks,
                partitions=frame.partitions,
                open_inflow=inflow,
                shown=shown,
            )
        return DeliveryRunner(
            stage,
            read,
            task=frame.task,
            tasks=frame.tasks,
            partitions=frame.partitions,
            sink=options.open(frame.identity),
            identity=frame.identity,
            background=self._background,
            on_change=say,
            shown=shown,
        )

    def _shown(self, seat: int, error: RiverrunError) -> RiverrunError:
        """Without the secrets of a source or a sink."""
        redactor = self._redactors.get(seat)
        if redactor is None:
            return error
        metadata = {name: redactor.redacted(text) for name, text in error.metadata.items()}
        return type(error)(redactor.redacted(error.message), **metadata)

    def _say(self, seat: int) -> None:
        """What a source or a sink has to say, if anything; on whichever thread that is known."""
        runner = self._runners.get(seat)
        if isinstance(runner, Capture | DeliveryRunner):
            word = runner.word()
            trouble = self._redactors[seat].redacted(word.trouble)
            self._send(Said(seat=seat, ready=word.ready, trouble=trouble, progress=word.progress))

    def _run(self, frame: Run) -> None:
        runner = self._runners.get(frame.seat)
        if runner is None:
            self._send(failed(frame.seat, HostFailed("the runner was closed", cause="exit")))
            return
        runner.committed(frame.committed)
        try:
            answer = encode(Done(seat=frame.seat, effects=runner.run(frame.work)))
        except Unread:
            self._send(Failed(seat=frame.seat, reason="UNAVAILABLE", message="state could not be read", metadata={}))
            return
        except RiverrunError as error:
            self._send(failed(frame.seat, self._shown(frame.seat, error)))
            return
        if len(answer) > self._frame_bytes_max:
            self._shut(frame.seat)  # it has gone on already, and the node will not
            too_much = ProcessorFailed(
                f"what came of one work takes {len(answer)} bytes, at most {self._frame_bytes_max}: smaller values, or "
                "fewer outputs of each record",
                **{TOO_LARGE: "yes"},
            )
            self._send(failed(frame.seat, too_much))
            return
        self._send_encoded(answer)
        if isinstance(runner, Capture):
            self._say(frame.seat)

    def _read(self, seat: int, places: Sequence[Place]) -> Sequence[bytes | None]:
        try:
            self._send(ReadState(seat=seat, places=list(places)))
            while (data := self._pipe.receive()) is not None:
                frame = decode_node_frame(data)
                if isinstance(frame, StateRead):
                    if frame.values is None:
                        raise Unread
                    return frame.values
                self._waiting.append(frame)
        except (OSError, RefusedToStart) as error:
            raise SystemExit(f"the connection to the node broke: {error}") from error
        raise SystemExit(0)  # the node is gone; an Exception would be blamed on a record

    def _shut(self, seat: int, *, forget: bool = False) -> None:
        redactor = self._redactors.pop(seat, None)
        options, identity = self._outside.pop(seat, (None, ""))
        runner = self._runners.pop(seat, None)
        if runner is not None:
            runner.close()
        if forget and redactor is not None and hasattr(options, "forget") and self._background is not None:
            try:
                self._background.wait(options.forget(identity), FORGET_S_MAX, "taking back what was made there")
            except RiverrunError as error:
                told = redactor.redacted(f"what was made for {identity} is left behind: {error.message}")
                print(told, file=sys.stderr)  # noqa: T201  it goes into the node's log
