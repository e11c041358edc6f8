"""The host's side: a blocking loop that does what the node asks for, one thing after another.

`Unread` passes through user code and through the runner's handling of what user code raises: state that cannot be had
is nobody's fault here, and no record is to blame.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from cluster.errors import HostFailed, InvalidApp, ProcessorFailed, RefusedToStart, RiverrunError
from cluster.processing.app import App
from cluster.processing.async_calls import Loop
from cluster.processing.hosting.frames import (
    NO_SEAT,
    PROTOCOL,
    TOO_LARGE,
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
    Shut,
    StateRead,
    decode_node_frame,
    encode,
    failed,
)
from cluster.processing.processor import Stage
from cluster.processing.runner import Runner
from cluster.processing.snapshot import Place

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
                    self._shut(frame.seat)
                case StateRead():
                    raise RefusedToStart("the node sent state that nobody asked for")
        for seat in list(self._runners):
            self._shut(seat)
        self._loop.close()

    def _next(self) -> NodeFrame | None:
        if self._waiting:
            return self._waiting.popleft()
        data = self._pipe.receive()
        return None if data is None else decode_node_frame(data)

    def _send(self, frame: HostFrame) -> None:
        self._pipe.send(encode(frame))

    def _open(self, frame: Open) -> None:
        stage = self._stages.get((frame.stage, frame.version))
        if stage is None:
            there = ", ".join(f"{name}@{version}" for name, version in self._stages) or "none"
            error = InvalidApp(
                f"{self._app} has no processor {frame.stage} of version {frame.version} in this file; it has {there}"
            )
            self._send(failed(frame.seat, error))
            return
        read = partial(self._read, frame.seat)
        self._runners[frame.seat] = Runner(
            stage, read, task=frame.task, tasks=frame.tasks, partitions=frame.partitions, loop=self._loop
        )
        self._send(Opened(seat=frame.seat))

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
            self._send(failed(frame.seat, error))
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
        self._pipe.send(answer)

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

    def _shut(self, seat: int) -> None:
        runner = self._runners.pop(seat, None)
        if runner is not None:
            runner.close()
