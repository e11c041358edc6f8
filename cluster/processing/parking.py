"""Records that are put aside: dead letters, parked keys, and the way back.

Rules:
1. A dead letter is the record as it was (key, value, headers, time), with what happened in headers named `rr-…`.
2. With `park_key` the key is *parked* from then on: its later records follow as dead letters, so the topic has all of
   them in their order. With other code that does not park, none is from its first work on; its letters stay there.
3. A *redrive* reads the dead letters from where the last one ended to the end that is there when it begins; the task
   takes nothing else meanwhile. Each letter is handled as the record that it was. If one fails again, it and all that
   follow it of its key go to the end of the topic, in their order. When it is over, keys are parked of which it has put
   letters to the end, and no others: what was deleted meanwhile is not waited for.
4. Letters of other processors in the same topic are passed over.
"""

import msgspec

from cluster.processing.draft import SOURCE_HEADER, Part, inherited
from cluster.processing.work import Output

PARKED_STORE = "~parked"
PROCESSOR_HEADER = "rr-processor"
INPUT_HEADER = "rr-input"
VERSION_HEADER = "rr-version"
ERROR_HEADER = "rr-error"
ERROR_BYTES_MAX = 4096
TRACEBACK_BYTES_MAX = 8192
"""Of an exception's text the beginning, of where it was the end."""


class Parked(msgspec.Struct, array_like=True):
    """One key. `waiting`: its letters that no redrive has handled; `again`: those that this one has put to the end."""

    waiting: int = 0
    again: int = 0


class Letter(msgspec.Struct, frozen=True):
    """What is said of a record that is put aside."""

    error: str
    traceback: str
    processor: str
    version: int
    input_topic: str


def letter_of(part: Part, place: int, letter: Letter, output: int) -> Output:
    """The dead letter of a record."""
    columns = part.columns
    return Output(
        output=output,
        key=columns.keys[place],
        value=columns.values[place],
        headers=[
            *inherited(columns.headers(place)),
            (SOURCE_HEADER, part.source(place).encode()),
            (INPUT_HEADER, letter.input_topic.encode()),
            (PROCESSOR_HEADER, letter.processor.encode()),
            (VERSION_HEADER, b"%d" % letter.version),
            (ERROR_HEADER, letter.error[:ERROR_BYTES_MAX].encode(errors="replace")[:ERROR_BYTES_MAX]),
            ("rr-traceback", letter.traceback.encode(errors="replace")[-TRACEBACK_BYTES_MAX:]),
        ],
        timestamp_ns=columns.times_ns[place],
    )


def header(part: Part, place: int, name: str) -> str:
    """The value of a header of a record; "" without it."""
    return next((value.decode(errors="replace") for found, value in part.columns.headers(place) if found == name), "")
