"""The node's side: many tasks talk to one host, in asyncio.

What is asked goes out at once, up to `works_max` ahead, so that a host never waits for its next work; the rest waits
its turn here. Answers come in that order, so the first of what was asked is what the host has in hand: the clock runs
for it alone, and stands still while the host waits for state.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple, Protocol

from cluster.errors import HostFailed, ProcessorFailed, RefusedToStart, RiverrunError, StateUnreadable
from cluster.processing.hosting.frames import (
    NO_SEAT,
    PROTOCOL,
    Committed,
    Described,
    Done,
    Ended,
    Failed,
    NodeFrame,
    Open,
    Opened,
    ReadState,
    Run,
    Said,
    Shut,
    StateRead,
    decode_host_frame,
    encode,
    error_in,
)
from cluster.processing.hosts import ReadState as Reader
from cluster.processing.hosts import Seat, Word
from cluster.processing.spec import ProcessorSpec
from cluster.processing.work import Effects, Work


class Pipe(Protocol):
    """The connection to a host."""

    async def send(self, frame: bytes) -> None:
        """Waits while the host does not read. OSError or RiverrunError: it has ended; `receive` comes to it, too."""

    async def receive(self) -> bytes | None:
        """The next frame; None: there are no more. OSError or RiverrunError: it broke."""


CAUSES = {"exit", "hang", "memory"}
"""For which the work in hand is to blame."""


class End(NamedTuple):
    """Why a host is no more. `cause`: as of HostFailed; another word ("closed", "lost") where no work is to blame."""

    cause: str
    why: str


class _Asked:
    """Something that waits for its answer."""

    def __init__(self, seat: int, reader: Reader, *, opens: bool) -> None:
        self.seat = seat
        self.opens = opens
        self.read_state = reader
        self.answer: asyncio.Future[Opened | Done | Failed] = asyncio.get_running_loop().create_future()
        self.unread: Exception | None = None
        """Why state could not be read for it: then this is what came of it, whatever the host says."""


class Conversation:
    """With one host, from its first word to its end.

    `why`: asked when the connection has ended, it finds out why, and sees to it that the host is gone. `on_idle`: no
    task uses the host any more. `on_end`: nobody is answered any more; told before those who wait.
    """

    def __init__(
        self,
        pipe: Pipe,
        *,
        work_s_max: float,
        works_max: int,
        why: Callable[[], Awaitable[End]],
        on_idle: Callable[[], None],
        on_end: Callable[[End], None],
    ) -> None:
        self._pipe = pipe
        self._work_s_max = work_s_max
        self._why = why
        self._on_idle = on_idle
        self._on_end = on_end
        self._loop = asyncio.get_running_loop()
        self.described: asyncio.Future[list[ProcessorSpec]] = self._loop.create_future()
        """What the host has; InvalidApp, HostFailed."""
        self.described.add_done_callback(_look)
        self.seats: set[int] = set()
        self._hosts: dict[int, SeatHost] = {}
        self.end: End | None = None
        self._at_work: int | None = None
        """Whose work was in hand at the end."""
        self._said: End | None = None
        self._next_seat = 0
        self._asked: deque[_Asked] = deque()
        self._room = asyncio.Semaphore(works_max)
        self._outgoing: asyncio.Queue[NodeFrame] = asyncio.Queue()
        """Bounded by those who ask: `works_max`, and one word for each seat that is opened or closed."""
        self._clock: asyncio.TimerHandle | None = None
        self._deadline_s = 0.0
        self._stopping: asyncio.Future[End] = self._loop.create_future()

    async def run(self) -> End:
        """Talk until the host is gone, or `stop`; why it ended. Cancelled, everybody gets HostFailed all the same."""
        sending = asyncio.ensure_future(self._send())
        reading = asyncio.ensure_future(self._read())
        end = End("closed", "the node does not want it any more")
        try:
            both: tuple[asyncio.Future[Any], ...] = (reading, self._stopping)
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if self._stopping.done():
                end = self._stopping.result()
            else:
                nonsense = reading.result()
                end = nonsense or self._said or await self._why()
        finally:
            sending.cancel()
            reading.cancel()
            self._finish(end)
        return end

    def stop(self, end: End) -> None:
        """It is over, for this reason, whatever the host does: everybody gets HostFailed now."""
        self._finish(end)
        if not self._stopping.done():
            self._stopping.set_result(end)

    async def open(self, seat: Seat, read_state: Reader) -> "SeatHost":
        """A runner. InvalidApp: there is no such stage; HostFailed."""
        self._next_seat += 1
        number = self._next_seat
        self.seats.add(number)
        frame = Open(
            seat=number,
            stage=seat.stage,
            version=seat.version,
            task=seat.task,
            tasks=seat.tasks,
            partitions=seat.partitions,
            identity=seat.identity,
        )
        host = self._hosts[number] = SeatHost(self, number, read_state, tell_commits=seat.alone)
        try:
            await self.ask(number, read_state, frame)
        except BaseException:
            host.close()
            raise
        return host

    async def ask(self, seat: int, read_state: Reader, frame: Open | Run) -> Effects | None:
        """What came of it. The host's own error, or HostFailed: it is no more."""
        await self._room.acquire()
        if self.end is not None:
            self._room.release()
            raise self._failed(seat)
        asked = _Asked(seat, read_state, opens=isinstance(frame, Open))
        self._asked.append(asked)
        self._outgoing.put_nowait(frame)
        if len(self._asked) == 1:
            self._restart_clock(self._work_s_max)
        answer = await asked.answer
        if asked.unread is not None:
            raise asked.unread
        if isinstance(answer, Failed):
            raise error_in(answer)
        return answer.effects if isinstance(answer, Done) else None

    def tell(self, frame: Committed) -> None:
        """What has no answer."""
        if frame.seat in self.seats and self.end is None:
            self._outgoing.put_nowait(frame)

    def shut(self, seat: int, *, forget: bool = False) -> None:
        """A runner is not needed any more."""
        if seat in self.seats:
            self.seats.discard(seat)
            del self._hosts[seat]
            if self.end is None:
                self._outgoing.put_nowait(Shut(seat=seat, forget=forget))
                if not self.seats:
                    self._on_idle()

    def _failed(self, seat: int) -> HostFailed:
        assert self.end is not None, "it has ended"
        own = self.end.cause in CAUSES
        cause = self.end.cause if own else "exit"
        return HostFailed(self.end.why, cause=cause, at_work="yes" if own and self._at_work == seat else "no")

    # --- what goes out

    async def _send(self) -> None:
        try:
            while True:
                await self._pipe.send(encode(await self._outgoing.get()))
        except (OSError, RiverrunError):
            return  # whoever reads finds out why

    # --- what comes in

    async def _read(self) -> End | None:
        """Until there is nothing more; why, if it is nonsense."""
        try:
            while (data := await self._pipe.receive()) is not None:
                frame = decode_host_frame(data)
                match frame:
                    case Described():
                        self._on_described(frame)
                    case ReadState():
                        await self._on_read_state(frame)
                    case Said(seat=seat):
                        if seat in self._hosts:
                            self._hosts[seat].on_word(Word(frame.ready, frame.trouble, frame.progress))
                    case Ended():
                        self._said = self._said or End(frame.cause, frame.why)
                    case Failed(seat=seat) if seat == NO_SEAT and not self.described.done():
                        self.described.set_exception(error_in(frame))
                    case _:
                        self._on_answer(frame)
        except RefusedToStart as error:
            return End("exit", error.message)
        except (OSError, RiverrunError):
            return None
        return None

    def _on_described(self, frame: Described) -> None:
        if frame.protocol != PROTOCOL:
            raise RefusedToStart(f"it is of another version of riverrun (protocol {frame.protocol}, not {PROTOCOL})")
        if not self.described.done():
            self.described.set_result(frame.specs)

    def _on_answer(self, frame: Opened | Done | Failed) -> None:
        asked = self._in_hand(frame.seat)
        if isinstance(frame, Opened) != asked.opens and not isinstance(frame, Failed):
            raise RefusedToStart("it answered something else than what was asked")
        self._asked.popleft()
        self._room.release()
        self._stop_clock()
        if self._asked:
            self._restart_clock(self._work_s_max)
        if not asked.answer.done():
            asked.answer.set_result(frame)

    async def _on_read_state(self, frame: ReadState) -> None:
        asked = self._in_hand(frame.seat)
        left_s = self._deadline_s - self._loop.time()
        self._stop_clock()
        values = None
        if asked.unread is None and not asked.answer.done():
            values = await self._values(asked, frame)
        if self.end is None:
            self._outgoing.put_nowait(StateRead(values=values))
            self._restart_clock(max(0.0, left_s))

    async def _values(self, asked: _Asked, frame: ReadState) -> list[bytes | None] | None:
        """None: they cannot be read, or nobody wants to know any more."""
        reading = asyncio.ensure_future(asked.read_state(frame.places))
        try:
            both: tuple[asyncio.Future[Any], ...] = (reading, asked.answer)
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
            if reading.done():
                return reading.result()
        except Exception as error:  # noqa: BLE001  whoever asked for the work gets it
            asked.unread = error
        finally:
            reading.cancel()
        return None

    def _in_hand(self, seat: int) -> _Asked:
        if not self._asked or self._asked[0].seat != seat:
            raise RefusedToStart("it answered what nobody had asked")
        return self._asked[0]

    # --- the clock

    def _restart_clock(self, left_s: float) -> None:
        self._deadline_s = self._loop.time() + left_s
        self._clock = self._loop.call_at(self._deadline_s, self._hung)

    def _stop_clock(self) -> None:
        if self._clock is not None:
            self._clock.cancel()
            self._clock = None

    def _hung(self) -> None:
        self.stop(End("hang", f"a work took longer than {self._work_s_max:g} s"))

    def _finish(self, end: End) -> None:
        if self.end is not None:
            return
        self.end = end
        self._stop_clock()
        self._at_work = self._asked[0].seat if self._asked else None
        self._on_end(end)
        if not self.described.done():
            self.described.set_exception(self._failed(NO_SEAT))
        waiting = {asked.seat for asked in self._asked}
        for seat, host in self._hosts.items():
            if seat not in waiting:
                host.on_end(self._failed(seat))
        self._hosts.clear()
        while self._asked:
            asked = self._asked.popleft()
            self._room.release()
            if not asked.answer.done():
                asked.answer.set_exception(self._failed(asked.seat))
        self.seats.clear()


class SeatHost:
    """See `Host`."""

    def __init__(self, conversation: Conversation, seat: int, read_state: Reader, *, tell_commits: bool) -> None:
        self._conversation = conversation
        self._tell_commits = tell_commits
        self._seat = seat
        self._read_state = read_state
        self._committed = 0
        self.on_end: Callable[[HostFailed], None] = lambda _: None
        self.on_word: Callable[[Word], None] = lambda _: None

    async def run(self, work: Work) -> Effects:
        """See `Host`."""
        try:
            frame = Run(seat=self._seat, committed=self._committed, work=work)
            effects = await self._conversation.ask(self._seat, self._read_state, frame)
        except (ProcessorFailed, StateUnreadable):
            raise
        except BaseException:
            self.close()
            raise
        assert effects is not None, "a work is not answered like an opening"
        return effects

    def committed(self, n: int) -> None:
        """See `Host`: the host is told with the next work, or at once if it wants to know."""
        self._committed = max(self._committed, n)
        if self._tell_commits:
            self._conversation.tell(Committed(seat=self._seat, n=n))

    def close(self, *, forget: bool = False) -> None:
        """See `Host`."""
        self._conversation.shut(self._seat, forget=forget)


def _look(future: "asyncio.Future[list[ProcessorSpec]]") -> None:
    """What nobody waits for is no fault."""
    if not future.cancelled():
        future.exception()
