"""Secrets get where they belong, and are nowhere else to be seen."""

import msgspec
import pytest

from cluster.connectors.secrets import Redactor, secret_names, with_secrets
from cluster.errors import InvalidRoute


class Tls(msgspec.Struct, frozen=True):
    """A part of options."""

    key: str = ""


class Options(msgspec.Struct, frozen=True, tag_field="kind", tag="x"):
    """As connectors have them."""

    url: str
    headers: dict[str, str] = {}
    tables: list[str] = []
    port: int = 1
    tls: Tls = Tls()


OPTIONS = Options(
    url="pg://me:${PW}@host/${DB}?x=${PW}", headers={"auth": "Bearer ${file:/run/token}"}, tls=Tls(key="$${PW} ${PW}")
)
SECRETS = {"PW": "p@ss/word", "DB": "shop", "file:/run/token": "t0ken"}


def test_they_are_found_and_put_in() -> None:
    """Encoded where a URL has its password, as they are everywhere else."""
    assert ["PW", "DB", "file:/run/token"] == secret_names(OPTIONS)
    filled = with_secrets(OPTIONS, SECRETS)
    assert "pg://me:p%40ss%2Fword@host/shop?x=p@ss/word" == filled.url
    assert ({"auth": "Bearer t0ken"}, "${PW} p@ss/word") == (filled.headers, filled.tls.key)
    plain = Options(url="pg://host", tables=["a", "b"])
    assert with_secrets(plain, {}) == plain
    assert "postgres://u@h" == with_secrets("${URL}", {"URL": "postgres://u@h"})
    assert {"a": ["1", 2]} == with_secrets({"a": ["${X}", 2]}, {"X": "1"})


@pytest.mark.parametrize("text", ["${}", "${a b}", "${PW", "${file:relative}", "${1}"])
def test_what_names_none_is_refused(text: str) -> None:
    """Instead of being sent to somebody as it is."""
    for look in (secret_names, lambda value: with_secrets(value, {"PW": "x"})):
        with pytest.raises(InvalidRoute, match=r"names no secret: write \$\{NAME\} or \$\{file:/path\}"):
            look(["x", text])


def test_what_is_not_there_is_named() -> None:
    """And nothing else is."""
    with pytest.raises(InvalidRoute) as caught:
        with_secrets("${PW} ${NO}", {"PW": "hidden"})
    assert "the secret ${NO} is not there: it is not set" == caught.value.message
    with pytest.raises(InvalidRoute, match=r"the secret \$\{file:/x\} is not there: the file /x cannot be read"):
        with_secrets("${file:/x}", {})


def test_they_are_taken_out_of_what_is_shown() -> None:
    """In every form in which they may come back: encoded, quoted, line by line; short ones as words."""
    secrets = {"PW": "p@ss/word", "LONG": "p@ss/word2", "KEY": "line one\nline two", "PIN": "7", "EMPTY": ""}
    redactor = Redactor(secrets)
    said = [
        "cannot log in as me:p@ss/word", "p%40ss%2Fword@host", "p@ss/word2", "got 'line one\\nline two'", "> line two",
        "pin 7 of 17", "nothing",
    ]  # fmt: skip
    expected = [
        "cannot log in as me:${PW}", "${PW}@host", "${LONG}", "got '${KEY}'", "> ${KEY}", "pin ${PIN} of 17", "nothing",
    ]  # fmt: skip
    assert expected == [redactor.redacted(text) for text in said]
    assert "word" not in repr(redactor)
    assert ("x", "<Redactor of nothing>") == (Redactor({}).redacted("x"), repr(Redactor({})))
