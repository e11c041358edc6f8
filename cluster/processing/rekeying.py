"""Records under another key, through an internal topic; and the watermarks of those who write it, among the records."""

from operator import attrgetter
from typing import Any

from cluster.processing.calling import Surroundings
from cluster.processing.draft import SOURCE_HEADER, Part, inherited
from cluster.processing.event import encode_key
from cluster.processing.watermarks import SAID_HEADER, Said, encode_said
from cluster.processing.work import EVERY_PARTITION, Fired, Output


class Rekeys:
    """The operator: value and headers stay as they are, and the time is the event's."""

    knows_place = True

    def __init__(self, stage: Any, surroundings: Surroundings) -> None:
        self._draft = surroundings.draft
        self._key_of = attrgetter(stage.spec.rekeys) if stage.spec.rekeys else None

    def take(self, part: Part, first: int, end: int) -> None:
        """Put the records from `first` to before `end` under their keys."""
        draft, columns = self._draft, part.columns
        draft.at_record(part, first)
        for place in range(first, end):
            draft.place = place
            draft.outputs.append(
                Output(
                    output=0,
                    key=encode_key(self._key_of(part.events[place])) if self._key_of else b"",
                    value=columns.values[place],
                    headers=[*inherited(columns.headers(place)), (SOURCE_HEADER, part.source(place).encode())],
                    timestamp_ns=part.times[place],
                )
            )

    def fire(self, fired: Fired) -> None:
        """There are no timers here."""
        raise AssertionError(f"timer {fired.name!r} of a processor that sets none")


def watermark_record(said: Said) -> Output:
    """What tells everybody who reads the topic how far its writer has come."""
    return Output(
        output=0,
        key=None,
        value=b"",
        headers=[(SAID_HEADER, encode_said(said))],
        timestamp_ns=0,
        partition=EVERY_PARTITION,
    )
