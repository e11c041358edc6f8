"""Durations and sizes as people write them."""

import doctest

import pytest

from cluster.cli import quantities
from cluster.cli.quantities import as_duration, as_size, in_bytes, in_ms


def test_the_examples_are_right() -> None:
    """Those in the module's docstring."""
    assert doctest.TestResults(failed=0, attempted=2) == doctest.testmod(quantities)


@pytest.mark.parametrize("text", ["", "d", "7", "7 weeks", "-1d", "1d2h", "0s", "0.0001ms", "1e3s", "inf"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """With a word about what it looks like."""
    with pytest.raises(ValueError, match="such as 36h or 7d"):
        in_ms(text)


@pytest.mark.parametrize("text", ["", "GiB", "1GB", "1k", "0", "-5", "1,000"])
def test_what_is_no_size_is_refused(text: str) -> None:
    """Powers of ten are not guessed at."""
    with pytest.raises(ValueError, match="such as 512MiB"):
        in_bytes(text)


@pytest.mark.parametrize("number", [1, 999, 1000, 60_000, 86_400_000, 123_456_789])
def test_what_is_told_is_what_was_said(number: int) -> None:
    """There and back."""
    assert (number, number) == (in_ms(as_duration(number)), in_bytes(as_size(number)))


def test_halves_and_small_letters_are_understood() -> None:
    """And a space."""
    assert (5_400_000, 1536, 2 << 20) == (in_ms("1.5h"), in_bytes("1.5 kib"), in_bytes("2mib"))
