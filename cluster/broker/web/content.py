"""What bytes are: JSON, text, or neither; and where they stop to be JSON. Pure."""

from typing import Any, TypeVar

import msgspec

from cluster.errors import InvalidRequest

T = TypeVar("T")


def media_type(text: str) -> str:
    """A content type without its parameters, in lower case."""
    return text.split(";", 1)[0].strip().lower()


def is_json(content_type: str) -> bool:
    """Whether a content type says JSON: `application/json`, or something `+json`."""
    subtype = media_type(content_type).rpartition("/")[2]
    return subtype == "json" or subtype.endswith("+json")


def as_text(content: bytes) -> str | None:
    """The text that these bytes are the UTF-8 of; None if they are not."""
    try:
        return content.decode()
    except UnicodeDecodeError:
        return None


def json_text(content: bytes) -> bytes | None:
    """The JSON text without white space, and so on one line; None if it is none."""
    if as_text(content) is None:
        return None
    try:
        return compact(content)
    except (msgspec.DecodeError, RecursionError):
        return None


def parse_json(body: bytes, shape: type[T] | Any) -> Any:
    """The value of that shape; InvalidRequest naming line and column, or the place in the value, if it is none."""
    try:
        body.decode()
    except UnicodeDecodeError as error:
        raise InvalidRequest(f"the body is not UTF-8 at {_place(body, error.start)}") from None
    try:
        return msgspec.json.decode(body, type=shape)
    except msgspec.ValidationError as error:
        raise InvalidRequest(f"the body is not as it should be: {error}") from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"the body is not JSON: {_located(body, str(error))}") from None
    except RecursionError:
        raise InvalidRequest("the body is nested too deeply") from None


def compact(text: bytes) -> bytes:
    """The JSON text without white space; it was parsed before."""
    return msgspec.json.format(text, indent=-1)


def _located(body: bytes, said: str) -> str:
    """The parser's sentence, with line and column where it has a byte."""
    if "truncated" in said:
        return f"it ends too early, at {_place(body, len(body))}"
    sentence, _, byte = said.removeprefix("JSON is malformed: ").removesuffix(")").partition(" (byte ")
    return f"{sentence} at {_place(body, int(byte))}" if byte.isdigit() else said


def _place(body: bytes, byte: int) -> str:
    before = body[:byte]
    line_start = before.rfind(b"\n") + 1
    column = len(before[line_start:].decode(errors="replace")) + 1
    line = before.count(b"\n") + 1
    return f"line {line}, column {column}"
