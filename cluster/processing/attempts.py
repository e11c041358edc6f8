"""What is done when user code raises: find the record, try it again, and then what `on_error` says.

Rules:
1. What failed is taken back: state, timers, outputs. Nothing of it is seen by anybody. Who is called again for a record
   gets it as it was, for the first call may have changed it.
2. A function that takes one record is known to have failed at a record: those before it are done again, then it alone,
   then those behind it. A function that takes many is bisected. So one record is to blame in the end.
3. That record is tried `retries` times more, and then the work fails (`stop`), or it is passed over and counted, or it
   goes to the dead letters in the same effects; with `park_key` its key is parked (see `parking`). So does one that
   does not decode, whatever that raises, or is condemned (a process died at it), at once: no function ever sees it.
4. Nobody waits here between attempts: the time of a work is limited, and the process is shared. The work is given up
   with TriesLeft, which says for how long, and whoever hands over works counts for us (`Work.failures`): they commit
   what comes before the record, let the time pass, and hand it over alone.
5. A timer, or a window that closes, has no record that could be put aside: when it fails, the work fails.
6. State that does not decode fails the work whatever `on_error` says: the record is not to blame. Nor is it where
   memory is short: what took it may be left over from others, so the process has to begin anew. Nor where a
   destination is away, or is not as it should be.
"""

import traceback
from collections.abc import Callable
from functools import partial
from typing import Protocol

from cluster.errors import InvalidRoute, ProcessorFailed, StateUnreadable, TriesLeft, Unreachable
from cluster.processing.draft import SOURCE_HEADER, Draft, Part
from cluster.processing.parking import (
    ERROR_HEADER,
    INPUT_HEADER,
    PARKED_STORE,
    PROCESSOR_HEADER,
    VERSION_HEADER,
    Letter,
    Parked,
    header,
    letter_of,
)
from cluster.processing.parts import Broken, Readings
from cluster.processing.policies import PARKED_KEYS_MAX
from cluster.processing.processor import Stage
from cluster.processing.state import KeyedState
from cluster.processing.work import ERROR_CHARS_MAX, Failure, Fired, Output, Work

OURS = __file__.rpartition("/")[0] + "/"
"""Where the files are that call user code."""


class Operator(Protocol):
    """What handles records and timers of a stage."""

    knows_place: bool
    """Whether `Draft.place` is the record that it failed at."""

    def take(self, part: Part, first: int, end: int) -> None:
        """Handle the records from `first` to before `end`."""

    def fire(self, fired: Fired) -> None:
        """Handle a timer."""


class Attempts:
    """Runs an operator's steps so that each is done as a whole, or not at all."""

    def __init__(
        self,
        stage: Stage,
        state: KeyedState,
        draft: Draft,
        readings: Readings,
        watermark: Callable[[], int],
        *,
        waits: bool = True,
        shown: Callable[[str], str] = str,
    ) -> None:
        """`shown`: a text as others may see it, for it is kept: without the secrets of a source or a sink."""
        self._shown = shown
        self._spec = stage.spec
        self._policy = stage.policy
        self._dead = stage.dead
        self._state = state
        self._draft = draft
        self._readings = readings
        self._watermark = watermark
        self._version = str(stage.spec.version)
        self._name = f"{stage.spec.app}.{stage.spec.name}"
        self._parked = state.store(PARKED_STORE, dict[bytes, Parked], dict)
        self._has_parked = False
        self.failure: Failure | None = None
        """The last one of this work that is none any more, for the record is passed over."""
        self._waits = waits and self._policy.backoff_ns > 0
        self._failures = 0
        """Of the only record of this work, before it."""
        self._timer_failures = 0
        self._placed = False
        """Whether what failed last was at `Draft.place`."""

    def begin(self, work: Work) -> None:
        """A work begins."""
        self.failure = None
        self._failures, self._timer_failures = (work.failures, 0) if work.batches else (0, work.failures)
        cell = self._parked.cell(b"")
        self._has_parked = bool(cell.get())
        if self._has_parked and not self._policy.park_key:  # other code said so
            cell.delete()
            self._has_parked = False
        self._state.settle()

    def records(self, operator: Operator, part: Part, first: int, end: int) -> None:
        """Handle some records. ProcessorFailed or StateUnreadable: the work cannot be done."""
        todo = [(first, end)]
        while todo:
            first, end = todo.pop()
            aside = self._first_aside(part, first, end)
            if aside == first:
                self._put_aside(part, first)
                todo += [(first + 1, end)] if first + 1 < end else []
                continue
            if aside is not None:
                todo.append((aside, end))
                end = aside
            error = self._step(partial(operator.take, part, first, end))
            if error is None:
                continue
            if end - first == 1:
                final = self._tried_again(operator, part, first, error, part, first)
                if final is not None:
                    self._conclude(part, first, final)
            elif operator.knows_place and self._placed:
                place = self._draft.place
                self._readings.renew(part, first, max(place + 1, self._draft.reached))
                todo += [pair for pair in ((place + 1, end), (place, place + 1), (first, place)) if pair[0] < pair[1]]
            else:
                self._readings.renew(part, first, end)
                middle = (first + end) // 2
                todo += [(middle, end), (first, middle)]

    def timer(self, operator: Operator, fired: Fired, number: int) -> None:
        """Handle a timer, with that number in the work. ProcessorFailed or StateUnreadable: it cannot be done."""
        where = f"timer {fired.name!r} of key {fired.key!r}"
        error = self._step(partial(operator.fire, fired))
        for failures in range(self._timer_failures + 1, self._policy.retries + 1):
            if error is None:
                return
            self._wait(error, failures, where, timer=fired.name, fired=str(number))
            error = self._step(partial(operator.fire, fired))
        if error is not None:
            raise self._failed(error, where, timer=fired.name) from error

    def redriven(self, operator_of: Callable[[int], Operator], part: Part) -> None:
        """Handle dead letters as the records that they were, by the operator of the input that they came from."""
        for place in range(len(part.keys)):
            if (
                header(part, place, PROCESSOR_HEADER) == self._name
                and header(part, place, VERSION_HEADER) == self._version
            ):
                self._redrive(operator_of, part, place)

    def redrive_is_over(self) -> None:
        """Keys wait for letters that it has put to the end, and for no others."""
        if not self._has_parked:
            return
        cell = self._parked.cell(b"")
        left = {key: Parked(waiting=entry.again) for key, entry in cell.get().items() if entry.again}
        self._has_parked = bool(left)
        if left:
            cell.put(left)
        else:
            cell.delete()
        self._state.settle()

    def broken(self, broken: Broken) -> None:
        """A batch that cannot be read: all of its records at once."""
        batch = broken.batch
        topic = self._spec.inputs[batch.input].topic
        where = f"the batch of {topic}/{batch.partition} at offset {batch.base_offset}"
        if self._policy.how == "stop":
            raise self._failed(
                broken.error, where, topic=topic, partition=str(batch.partition), offset=str(batch.begin)
            )
        self._draft.counts["corrupt"] += batch.end - batch.begin
        self._note(broken.error, topic, batch.partition, batch.base_offset)
        whole = batch.end >= batch.base_offset + batch.record_count  # handed over in pieces, it is the last one's
        if self._policy.how == "dead_letter" and whole:
            source = f"{topic}/{batch.partition}@{batch.base_offset}".encode()
            said = [
                (SOURCE_HEADER, source),
                (ERROR_HEADER, self._shown(str(broken.error)).encode()),
                ("rr-batch", b"%d" % batch.codec),
            ]
            self._draft.outputs.append(
                Output(output=self._dead, key=None, value=batch.payload, headers=said, timestamp_ns=self._draft.now_ns)
            )

    def _step(self, step: Callable[[], None]) -> Exception | None:
        """Do it as a whole; what was raised, if it was not done at all."""
        mark = self._draft.mark()
        self._placed = True
        try:
            step()
            self._placed = False  # what cannot be encoded now may be any record's doing
            self._state.settle()
        except (StateUnreadable, MemoryError, Unreachable, InvalidRoute):
            raise
        except Exception as error:  # noqa: BLE001  it is the user's code
            self._state.roll_back()
            self._draft.back_to(mark)
            return error
        return None

    def _first_aside(self, part: Part, first: int, end: int) -> int | None:
        """The first record that no function is to see."""
        if not part.poison and not self._has_parked:
            return None
        parked = self._parked.cell(b"").get() if self._has_parked else {}
        for place in range(first, end):
            if place in part.poison or part.keys[place] in parked:
                return place
        return None

    def _put_aside(self, part: Part, place: int) -> None:
        error = part.poison.get(place)
        if error is not None:
            self._conclude(part, place, error)
        else:
            self._write_letter(part, place, "its key is parked", "")
            self._draft.counts["parked"] += 1
            self._park(part.keys[place])

    def _tried_again(
        self, operator: Operator, part: Part, place: int, error: Exception, read: Part, read_at: int
    ) -> Exception | None:
        """What it raises at last, or nothing. `read`, `read_at`: where the record was read, perhaps as a dead letter.

        TriesLeft: not now.
        """
        last: Exception | None = error
        read, read_at = read.origin(read_at)
        for failures in range(self._failures + 1, self._policy.retries + 1):
            if last is None:
                break
            topic, partition, offset = part.position(place)
            self._wait(
                last,
                failures,
                f"the record of {topic}/{partition} at offset {offset}",
                topic=topic,
                input=str(read.input),
                partition=str(read.partition),
                offset=str(read.columns.offsets[read_at]),
            )
            self._readings.renew(part, place, place + 1)
            last = part.poison.get(place) or self._step(partial(operator.take, part, place, place + 1))
        return last

    def _wait(self, error: Exception, failures: int, where: str, **place: str) -> None:
        """TriesLeft: until the next attempt some time is to pass, which is not passed here."""
        if self._waits:
            wait_ns = self._policy.wait_ns(failures)
            failed = self._failed(error, where, failures=str(failures), wait_ns=str(wait_ns), **place)
            raise TriesLeft(failed.message, **failed.metadata) from error

    def _conclude(self, part: Part, place: int, error: Exception) -> None:
        """A record is to blame for good."""
        topic, partition, offset = part.position(place)
        where = {"topic": topic, "partition": str(partition), "offset": str(offset)}
        if self._policy.how == "stop":
            raise self._failed(error, f"the record of {topic}/{partition} at offset {offset}", **where) from error
        self._note(error, topic, partition, offset)
        if self._policy.how == "skip":
            self._draft.counts["skipped"] += 1
            return
        self._draft.counts["dead_lettered"] += 1
        self._write_letter(part, place, _said(error), _traceback(error))
        if self._policy.park_key:
            self._park(part.keys[place])

    def _note(self, error: Exception, topic: str, partition: int, offset: int) -> None:
        self.failure = Failure(
            error=self._shown(_said(error))[:ERROR_CHARS_MAX],
            became="skipped" if self._policy.how == "skip" else "dead_lettered",
            topic=topic,
            partition=partition,
            offset=offset,
            at_ns=self._draft.now_ns,
        )

    def _write_letter(self, part: Part, place: int, error: str, trace: str) -> None:
        letter = Letter(
            error=self._shown(error),
            traceback=self._shown(trace),
            processor=self._name,
            version=self._spec.version,
            input_topic=part.spec.topic,
        )
        self._draft.outputs.append(letter_of(part, place, letter, self._dead))

    def _park(self, key: bytes | None) -> None:
        """One more letter of this key waits."""
        if key is None:
            return
        self._entry(key).waiting += 1
        self._has_parked = True
        self._state.settle()

    def _entry(self, key: bytes) -> Parked:
        """A key's that is parked now, if it was not before."""
        parked: dict[bytes, Parked] = self._parked.cell(b"").get()
        if key not in parked and len(parked) >= PARKED_KEYS_MAX:
            raise ProcessorFailed(
                f"{self._name}: {PARKED_KEYS_MAX} keys are parked, and no more are; redrive them, or fix what fails"
            )
        return parked.setdefault(key, Parked())

    def _redrive(self, operator_of: Callable[[int], Operator], part: Part, place: int) -> None:
        key = part.keys[place]
        entry = None if key is None else self._parked.cell(b"").get().get(key)
        if entry is not None and entry.again:
            entry.again += 1
            self._again(part, place)
            return
        letter = self._readings.letter(part, place, header(part, place, INPUT_HEADER))
        error: Exception | None
        if letter is None:
            error = LookupError("the topic that it came from is no input any more")
        else:
            letter.marks = [self._watermark()]
            error = letter.poison.get(0)
            if error is None:
                make = operator_of(letter.input)
                error = self._step(partial(make.take, letter, 0, 1))
                error = error and self._tried_again(make, letter, 0, error, part, place)
        parked: dict[bytes, Parked] = self._parked.cell(b"").get()
        entry = None if key is None else parked.get(key)
        if error is not None:
            self._draft.counts["dead_lettered"] += 1
            self._note(error, *part.position(place) if letter is None else letter.position(0))
            if letter is None:
                self._again(part, place)
            else:
                self._write_letter(letter, 0, _said(error), _traceback(error))
                if key is not None and self._policy.park_key:
                    entry = self._entry(key)  # which may have letters from before keys were parked
            if entry is not None:
                entry.again = 1
        else:
            self._draft.counts["redriven"] += 1
            if entry is not None and key is not None:
                entry.waiting -= 1
                if not entry.waiting:
                    del parked[key]
        self._has_parked = bool(parked)
        if not parked:
            self._parked.cell(b"").delete()
        self._state.settle()

    def _again(self, part: Part, place: int) -> None:
        """A letter goes to the end of the topic as it is."""
        columns = part.columns
        self._draft.outputs.append(
            Output(
                output=self._dead,
                key=columns.keys[place],
                value=columns.values[place],
                headers=columns.headers(place),
                timestamp_ns=columns.times_ns[place],
            )
        )
        self._state.settle()

    def _failed(self, error: Exception, where: str, **metadata: str) -> ProcessorFailed:
        return ProcessorFailed(
            f"{self._name} version {self._spec.version} failed at {where}: {_said(error)}",
            processor=self._name,
            version=self._version,
            traceback=_traceback(error),
            **metadata,
        )


def _said(error: Exception) -> str:
    try:
        text = str(error)
    except Exception as failed:  # noqa: BLE001  it is the user's class
        text = f"(it cannot be told: {type(failed).__name__})"
    return f"{type(error).__name__}: {text}"


def _traceback(error: Exception) -> str:
    """From the first line of user code on; empty where it was not raised in this process."""
    if error.__traceback__ is None:
        return ""
    told = traceback.TracebackException.from_exception(error)
    first = next((number for number, frame in enumerate(told.stack) if not frame.filename.startswith(OURS)), 0)
    told.stack = traceback.StackSummary.from_list(list(told.stack)[first:])
    return "".join(told.format())
