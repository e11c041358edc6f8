"""What `riverrun cluster recover` asks for, and what it refuses before it looks at anything."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from cluster.cli.recover import recover


def _refused(*arguments: str, code: int = 2) -> str:
    done = CliRunner().invoke(recover, arguments)
    assert code == done.exit_code, done.output
    return done.output


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "name the data directories of the nodes that are left"),
        (("--write-survey", "s"), "--write-survey goes with one --data-dir"),
        (("--plan", "p"), "--plan goes with --data-dir"),
        (("--data-dir", "/nowhere"), "does not exist"),
    ],
)
def test_options_that_do_not_fit_together_are_refused(arguments: tuple[str, ...], told: str) -> None:
    """Nothing was looked at."""
    assert told in " ".join(_refused(*arguments).replace("│", " ").split())


def test_what_is_no_data_directory_is_left_alone(tmp_path: Path) -> None:
    """A file that cannot be read, and a directory that is nobody's."""
    assert "there is no node's data here" in _refused("--data-dir", str(tmp_path), code=1)
    assert "cannot read" in _refused("--survey", str(tmp_path / "none.json"), code=1)
