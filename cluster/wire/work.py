"""What a worker and a node say to each other: who it is, then frames in pieces that fit into one message."""

from collections.abc import Iterator

from cluster.errors import InvalidRequest
from cluster.wire.api import parse
from cluster.wire.pb.riverrun.v1 import worker_pb2

__all__ = ["WORK", "Pieces", "hello", "hello_in", "pieces_of", "request", "response", "welcome", "worker_pb2"]

WORK = "/riverrun.v1.WorkerService/Work"
PIECE_BYTES_MAX = 2 * 1024 * 1024


def hello(*, app: str, code_sha256: bytes, worker: str, version: str, protocol: int) -> bytes:
    """The worker's first message."""
    said = worker_pb2.WorkerHello(app=app, code_sha256=code_sha256, worker=worker, version=version, protocol=protocol)
    return worker_pb2.WorkRequest(hello=said).SerializeToString()


def hello_in(data: bytes) -> worker_pb2.WorkerHello:
    """InvalidRequest: the worker's first message is something else."""
    message = parse(worker_pb2.WorkRequest, data)
    if message.WhichOneof("request") != "hello" or not message.hello.app:
        raise InvalidRequest("a worker has to say first which app it serves (hello)")
    return message.hello


def welcome(version: str) -> bytes:
    """The node's first message."""
    return worker_pb2.WorkResponse(welcome=worker_pb2.WorkerWelcome(version=version)).SerializeToString()


def pieces_of(frame: bytes) -> Iterator[worker_pb2.FramePiece]:
    """A frame in pieces."""
    last = max(0, len(frame) - 1) // PIECE_BYTES_MAX
    for number in range(last + 1):
        begin = number * PIECE_BYTES_MAX
        yield worker_pb2.FramePiece(data=frame[begin : begin + PIECE_BYTES_MAX], more=number < last)


def request(piece: worker_pb2.FramePiece) -> bytes:
    """A piece that a worker sends."""
    return worker_pb2.WorkRequest(piece=piece).SerializeToString()


def response(piece: worker_pb2.FramePiece) -> bytes:
    """A piece that a node sends."""
    return worker_pb2.WorkResponse(piece=piece).SerializeToString()


class Pieces:
    """From pieces to frames."""

    def __init__(self, frame_bytes_max: int) -> None:
        self._frame_bytes_max = frame_bytes_max
        self._parts: list[bytes] = []
        self._size = 0

    def take_request(self, data: bytes) -> bytes | None:
        """The next message of a worker; the frame, if it is whole now. InvalidRequest: it is no piece, or too much."""
        return self._take(parse(worker_pb2.WorkRequest, data).piece)

    def take_response(self, data: bytes) -> bytes | None:
        """The same of a node."""
        return self._take(parse(worker_pb2.WorkResponse, data).piece)

    def _take(self, piece: worker_pb2.FramePiece) -> bytes | None:
        self._parts.append(piece.data)
        self._size += len(piece.data)
        if self._size > self._frame_bytes_max:
            raise InvalidRequest(f"a frame of more than {self._frame_bytes_max} bytes")
        if piece.more:
            return None
        frame = b"".join(self._parts)
        self._parts, self._size = [], 0
        return frame
