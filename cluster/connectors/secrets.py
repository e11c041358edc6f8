"""Secrets in options: `${NAME}` and `${file:/path}`, found, put in their places, and kept out of what is shown. Pure.

Whoever runs a connector has a mapping from what stands in the braces ("SHOP_PASSWORD", "file:/run/secrets/shop") to
values; where they come from is not known here. A dollar before braces that is meant as such is written `$${`.

Before the @ of a URL a value is percent-encoded as it is put in, for a password may have an @ or a / in it: the secret
is the password itself.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

import msgspec

from cluster.errors import InvalidRoute

T = TypeVar("T")
_PLACEHOLDER = re.compile(r"\$(\$?)\{([^{}]*)\}?")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}|file:/.{1,1000}")
_USER_BEFORE = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#@]*")
WORD_MAX = 3
"""A secret of so few characters is looked for as a word of its own only, for it is part of many."""


def secret_names(value: Any) -> list[str]:
    """What is named in the strings of plain data or a Struct, each once, in order. InvalidRoute: what is no name."""
    return list(dict.fromkeys(name for text in _texts(value) for name in _named(text)))


def with_secrets(value: T, secrets: Mapping[str, str]) -> T:
    """The same with the values in their places. InvalidRoute names what is not there."""
    found: T = _filled(value, secrets)
    return found


class Redactor:
    """Puts `${NAME}` in the places of values again, in whatever text is to be shown. Its own repr shows no value."""

    def __init__(self, secrets: Mapping[str, str]) -> None:
        self._forms: dict[str, str] = {}
        for name, value in sorted(secrets.items()):
            for form in (value, quote(value, safe=""), quote(value), repr(value)[1:-1], *value.splitlines()):
                if form.strip():
                    self._forms.setdefault(form, f"${{{name}}}")
        longest_first = sorted(self._forms, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(_looked_for, longest_first))) if longest_first else None

    def __repr__(self) -> str:
        return f"<Redactor of {', '.join(sorted(set(self._forms.values()))) or 'nothing'}>"

    def redacted(self, text: str) -> str:
        """A text without them."""
        return text if self._pattern is None else self._pattern.sub(lambda match: self._forms[match[0]], text)


def _looked_for(form: str) -> str:
    escaped = re.escape(form)
    return rf"(?<!\w){escaped}(?!\w)" if len(form) <= WORD_MAX else escaped


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple | set | frozenset):
        for item in value:
            yield from _texts(item)
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _texts(getattr(value, name))


def _named(text: str) -> Iterator[str]:
    for match in _PLACEHOLDER.finditer(text):
        if match[1]:
            continue
        if not match[0].endswith("}") or not _NAME.fullmatch(match[2]):
            raise InvalidRoute(
                f"{match[0]!r} names no secret: write ${{NAME}} or ${{file:/path}} ($${{ is the text itself)"
            )
        yield match[2]


def _filled(value: Any, secrets: Mapping[str, str]) -> Any:
    if isinstance(value, str):
        return _filled_text(value, secrets) if "${" in value else value
    if isinstance(value, Mapping):
        return {name: _filled(item, secrets) for name, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return type(value)(_filled(item, secrets) for item in value)
    if isinstance(value, msgspec.Struct):
        old = {name: getattr(value, name) for name in value.__struct_fields__}
        new = {name: _filled(item, secrets) for name, item in old.items()}
        changed = {name: item for name, item in new.items() if item is not old[name]}
        return msgspec.structs.replace(value, **changed) if changed else value
    return value


def _filled_text(text: str, secrets: Mapping[str, str]) -> str:
    list(_named(text))

    def put(match: re.Match[str]) -> str:
        if match[1]:
            return match[0][1:]
        name = match[2]
        if name not in secrets:
            where = f"the file {name[5:]} cannot be read" if name.startswith("file:") else "it is not set"
            raise InvalidRoute(f"the secret ${{{name}}} is not there: {where}")
        before, after = text[: match.start()], text[match.end() :]
        in_user = _USER_BEFORE.fullmatch(before) and "@" in re.split(r"[/?#]", after, maxsplit=1)[0]
        return quote(secrets[name], safe="") if in_user else secrets[name]

    return _PLACEHOLDER.sub(put, text)
