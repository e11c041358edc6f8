"""Lines and what is made of them: nothing is lost, whatever the bytes are."""

from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cluster.connectors.contract import Arrival
from cluster.connectors.lines import LINE_END_BYTES, UNDECODED, Decoder, Format, Line, split

MAX = 20


def read_all(content: bytes, chunk: int, *, quotes: bool = False) -> list[Line]:
    """As a source does: with what is not whole read again."""
    at, skipping, found = 0, False, list[Line]()
    while True:
        piece = content[at : at + chunk]
        last = at + len(piece) == len(content)
        cut = split(piece, at, line_bytes_max=MAX, records_max=3, skipping=skipping, quotes=quotes, last=last)
        found += cut.lines
        if cut.end == at:
            return found
        at, skipping = cut.end, cut.skipping


@given(
    lines=st.lists(st.text("ab\r", max_size=30).map(str.encode), max_size=10),
    whole=st.booleans(),
    chunk=st.integers(MAX + LINE_END_BYTES, 3 * MAX),
)
def test_lines_are_those_of_the_file_whatever_is_read_at_once(lines: list[bytes], chunk: int, *, whole: bool) -> None:
    """What is too long is cut at the limit, and only that."""
    content = b"\n".join(lines) + b"\n" * whole
    wanted = content.split(b"\n")
    wanted = [line.removesuffix(b"\r") for line in (wanted[:-1] if not wanted[-1] else wanted)]

    found = read_all(content, chunk)

    assert [line[:MAX] for line in wanted] == [line.content[:MAX] for line in found]
    assert [len(line) > MAX for line in wanted] == [line.fault != "" for line in found]
    assert all(one.end <= two.begin for one, two in pairwise(found))


@given(
    st.lists(st.sampled_from([b'"', b"a", b"\n", b",", b'""']), max_size=60).map(b"".join),
    st.integers(MAX + LINE_END_BYTES, 90),
)
def test_quotes_lose_no_line(content: bytes, chunk: int) -> None:
    """A quote that does not end takes nothing with it but its own line."""
    found = read_all(content, chunk, quotes=True)

    given, taken = content.replace(b"\n", b""), b"".join(line.content for line in found).replace(b"\n", b"")
    if not any(line.fault.startswith("a line of more") for line in found):
        assert given == taken


def test_a_carriage_return_at_the_limit_is_no_line_s_end() -> None:
    """Only before one."""
    found = read_all(b"a" * MAX + b"\ra", MAX + LINE_END_BYTES)

    assert [(b"a" * MAX, True)] == [(line.content, line.fault != "") for line in found]


def test_a_field_may_hold_a_line_s_end() -> None:
    """Where quotes are those of CSV."""
    content = b'a,b\n1,"x\ny"\n2,z\n'

    assert [b"a,b", b'1,"x\ny"', b"2,z"] == [line.content for line in read_all(content, 100, quotes=True)]
    assert [b'"a', b"b", b"c"] == [line.content for line in read_all(b'"a\nb\nc\n', 100, quotes=True)]


def decoded(form: Format, *lines: bytes) -> list[Any]:
    """Values, or bytes with why."""
    decoder, found = Decoder(form, "a.log"), list[Any]()
    for number, line in enumerate(lines):
        if decoder.wants_header:
            decoder.header(Line(line, number, number + 1))
        elif (arrival := decoder.arrival(Line(line, number, number + 1))) is not None:
            found.append(_told(arrival))
    return found


def _told(arrival: Arrival) -> Any:
    return (arrival.value, dict(arrival.headers)[UNDECODED].decode()) if arrival.headers else arrival.value


def test_json_lines() -> None:
    """Empty ones mean nothing; others are values, or undecoded with why and where."""
    found = decoded("json", b'{"a": 1}', b"", b"oops", b"5", b"\xff")

    assert [{"a": 1}, 5] == [found[0], found[2]]
    assert (b"oops", "a.log at byte 2: JSON is malformed: invalid character (byte 0)") == found[1]
    assert (b"\xff", True) == (found[3][0], found[3][1].startswith("a.log at byte 4: JSON is malformed"))


def test_csv_with_a_header() -> None:
    """Fields are text by name; a line that has others is undecoded."""
    found = decoded("csv", b"\xef\xbb\xbfa,b", b'1,"x,y"', b"1", b"1,2,3", b'1,"x"y', b"\xff,1")

    assert {"a": "1", "b": "x,y"} == found[0]
    assert (b"1", "a.log at byte 2: 1 fields, the header has 2") == found[1]
    assert (b"1,2,3", "a.log at byte 3: 3 fields, the header has 2") == found[2]
    assert [b'1,"x"y', b"\xff,1"] == [content for content, _ in found[3:]]


def test_a_header_that_makes_no_sense_is_told_with_each_line() -> None:
    """Nothing is thrown away for it."""
    assert [(b"1,2", "a.log at byte 1: the header has a name twice")] == decoded("csv", b"a,a", b"1,2")
    assert decoded("csv", b"\xff", b"1")[0][1].startswith("a.log at byte 1: the header is no CSV")


def test_text_is_bytes_as_they_are() -> None:
    """Empty lines, too."""
    assert [b"a", b"", b"\xff"] == decoded("text", b"a", b"", b"\xff")
