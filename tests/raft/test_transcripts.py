"""The transcripts in `transcripts/`, replayed. After a change that is meant: RIVERRUN_REWRITE=1, and read the diff."""

import os
from pathlib import Path

import pytest

from tests.raft.script import Script

TRANSCRIPTS = sorted((Path(__file__).parent / "transcripts").glob("*.txt"))
INDENT = "    "


def replay(text: str) -> str:
    """The same commands and comments, with what they lead to now."""
    script, lines = Script(), []
    for line in text.splitlines():
        if line.startswith(INDENT):
            continue
        lines.append(line)
        if line and not line.startswith("#"):
            lines += [INDENT + said for said in script.run(line)]
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("path", TRANSCRIPTS, ids=lambda path: path.stem)
def test_the_group_does_what_the_transcript_says(path: Path):
    """To the letter: who sends what to whom, in which order, and what waits for a disk."""
    expected = path.read_text()
    found = replay(expected)
    if os.environ.get("RIVERRUN_REWRITE"):
        path.write_text(found)
    assert expected == found


def test_there_are_transcripts():
    """A folder that moved would otherwise be silence."""
    assert len(TRANSCRIPTS) >= 8
