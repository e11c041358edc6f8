"""The cursor of a stream: cut after any change, and read again from anywhere before it, every change comes once."""

from struct import pack

from hypothesis import given
from hypothesis import strategies as st

from cluster.connectors.contract import Arrival
from cluster.connectors.postgres.capture import Capture
from cluster.connectors.postgres.cursor import Cursor, Overlap, Reading, Segment, decode_cursor
from cluster.connectors.postgres.pgoutput import Relation
from cluster.connectors.postgres.values import INT4

RELATION = b"R" + pack(">I", 7) + b"public\0t\0d" + pack(">H", 1) + b"\1id\0" + pack(">Ii", INT4, -1)
BEGINNING = 1000
Transaction = list[int]
"""The keys of rows that it inserts."""


def messages(number: int, keys: Transaction) -> list[bytes]:
    """As the server sends a transaction: the n-th commits at 1000 + 100 n, and 10 further its record ends."""
    lsn = BEGINNING + 100 * number
    rows = []
    for key in keys:
        text = str(key).encode()
        rows.append(b"I" + pack(">I", 7) + b"N" + pack(">H", 1) + b"t" + pack(">I", len(text)) + text)
    return [b"B" + pack(">QqI", lsn, number, number), *rows, b"C" + pack(">BQQq", 0, lsn, lsn + 10, number)]


def read(capture: Capture, sent: list[bytes], limit: int) -> list[Arrival]:
    """What comes of them, up to so many records."""
    found: list[Arrival] = []
    for data in [RELATION, *sent]:
        if len(found) >= limit:
            break
        relation = capture.take(data, found)
        if isinstance(relation, Relation):
            relation.plan, relation.key, relation.wanted = [("id", int)], ["id"], True
    return found


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=6),
    st.lists(st.tuples(st.integers(0, 6), st.integers(0, 500)), max_size=6),
)
def test_every_change_once(transactions: list[Transaction], cuts: list[tuple[int, int]]) -> None:
    """Whatever the server sends again, as long as it begins before the cursor."""
    wanted = [key for keys in transactions for key in keys]
    cursor, found = Cursor("1", "slot", BEGINNING), []
    for limit, back in [*cuts, (10**6, 0)]:
        capture = Capture(cursor, {}, tombstones=False)
        begin = max(BEGINNING, cursor.lsn - back)
        again = [
            data
            for number, keys in enumerate(transactions)
            if BEGINNING + 100 * number >= begin
            for data in messages(number, keys)
        ]
        found += [record.value["after"]["id"] for record in read(capture, again, limit)]
        cursor = decode_cursor(capture.cursor.encode())

    assert wanted == found


@given(
    st.lists(st.lists(st.integers(0, 9), max_size=5), max_size=8),
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 8)), max_size=3),
    st.integers(0, 8),
)
def test_what_a_snapshot_has_comes_no_more(
    transactions: list[Transaction], parts: list[tuple[int, int]], last: int
) -> None:
    """Of each key only what its own segment had not seen, through cuts as well; then the segments are forgotten."""
    ordered = [(upper, seen) for (upper, _), seen in zip(sorted(parts), sorted(seen for _, seen in parts), strict=True)]
    last = max([last, *(seen for _, seen in ordered)])
    segments = [Segment(f"{xid}:{xid}:", BEGINNING + 100 * xid, [str(upper)]) for upper, xid in ordered]
    segments.append(Segment(f"{last}:{last}:", BEGINNING + 100 * last, None))
    wanted = [
        key
        for number, keys in enumerate(transactions)
        for key in keys
        if number >= next((seen for upper, seen in ordered if key <= upper), last)
    ]
    cursor, found = Cursor("1", "slot", BEGINNING, readings=[Reading("public.t", segments=segments)]), []
    for limit in (2, 3, 10**6):
        overlaps = {reading.table: (Overlap(reading, [INT4]), {"id": INT4}) for reading in cursor.readings}
        capture = Capture(cursor, overlaps, tombstones=False)
        sent = [data for number, keys in enumerate(transactions) for data in messages(number, keys)]
        found += [record.value["after"]["id"] for record in read(capture, sent, limit)]
        cursor = decode_cursor(capture.cursor.encode())

    assert wanted == found
    assert (len(transactions) <= last) == bool(cursor.readings)
