"""`riverrun route`: check and test route files, without a cluster; deploy them, and look after them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cluster.cli.app import deploy_file
from cluster.cli.route_deploying import COMMANDS
from cluster.cli.shared import counted, json_option, new_table, print_json, print_table, server_option

if TYPE_CHECKING:
    from cluster.processing.routes.problems import Problem
    from cluster.processing.routes.route_file import RouteFile
    from cluster.processing.routes.testing import Outcome

BAD_FILE = 2
FAILED = 1
COLOURS = {"-": "red", "+": "green", "!": "red"}
files_argument = click.argument(
    "files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path), metavar="FILE…"
)


@click.group(name="route")
def command() -> None:
    """Check, test and deploy route files, and look after what is deployed.

    A route file (TOML) says from where records come, what becomes of them, and where they go; see the README.
    """


@command.command()
@files_argument
@json_option
def check(files: Sequence[Path], as_json: bool) -> None:  # noqa: FBT001
    """Say what is wrong with route files: all of it, with its place. Nothing is connected to.

    Exit code 0: they can be deployed. 2: something is wrong.
    """
    read = [_read(path) for path in files]
    problems = [problem for _, found in read for problem in found]
    if as_json:
        print_json({"files": [_plain_file(file) for file, _ in read if file], "problems": _plain_problems(problems)})
    else:
        for path, (file, found) in zip(files, read, strict=True):
            if file is not None:
                _print_file(path, file)
            else:
                _print_problems(found)
    if problems:
        raise SystemExit(BAD_FILE)


@command.command()
@files_argument
@json_option
def test(files: Sequence[Path], as_json: bool) -> None:  # noqa: FBT001
    """Run the tests that are in route files ([[route.test]]), and show what came otherwise than expected.

    Exit code 0: all is as expected. 1: something is not. 2: a file cannot be used.
    """
    from cluster.processing.routes.testing import run_tests  # noqa: PLC0415  most commands need no processing

    read = [_read(path) for path in files]
    problems = [problem for _, found in read for problem in found]
    outcomes = [(path, run_tests(file)) for path, (file, _) in zip(files, read, strict=True) if file is not None]
    failed = sum(not outcome.passed for _, found in outcomes for outcome in found)
    if as_json:
        plain = [_plain_outcome(path, outcome) for path, found in outcomes for outcome in found]
        print_json({"tests": plain, "problems": _plain_problems(problems)})
    else:
        for path, found in outcomes:
            _print_outcomes(path, found)
        _print_problems(problems)
    if problems or failed:
        raise SystemExit(BAD_FILE if problems else FAILED)


@command.command()
@json_option
def functions(as_json: bool) -> None:  # noqa: FBT001
    """List what expressions can call, and what they can ask about a record."""
    from cluster.processing.routes.functions import FUNCTIONS, META  # noqa: PLC0415

    forms = {name: function.form(name) for name, function in FUNCTIONS.items()}
    if as_json:
        print_json([{"name": name, "form": forms[name], "does": one.does} for name, one in FUNCTIONS.items()])
        return
    width = max(map(len, forms.values()))
    for name, function in FUNCTIONS.items():
        click.echo(f"{forms[name]:{width}}  {function.does}")
    click.echo(f"\nabout the record: record, {', '.join(f'meta.{name}' for name in META)}")
    click.echo("in key, time and where of a destination: input, the record as it came")


@command.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--partitions", default=0, help="Of topics that are made; the cluster's default if not given.")
@server_option
@json_option
def deploy(file: Path, partitions: int, servers: str, as_json: bool) -> None:  # noqa: FBT001
    """Run the routes in FILE, or give new ones to what runs of it, once they are checked and their tests pass.

    A route that is deployed already, under the same name and version, goes on where it is, with its cursor; under a new
    version it begins anew. Topics are made where they are missing. Exit codes as of `check` and `test`.
    """
    from cluster.processing.routes.testing import run_tests  # noqa: PLC0415  as above

    found, problems = _read(file)
    _print_problems(problems)
    if found is None:
        raise SystemExit(BAD_FILE)
    outcomes = run_tests(found)
    if not all(outcome.passed for outcome in outcomes):
        _print_outcomes(file, outcomes)
        raise SystemExit(FAILED)
    deploy_file(file, servers, as_json=as_json, create_topics=True, partitions=partitions)


for other in COMMANDS:
    command.add_command(other)


def _read(path: Path) -> "tuple[RouteFile | None, Sequence[Problem]]":
    from cluster.connectors.registry import Registry  # noqa: PLC0415
    from cluster.processing.routes.problems import Problem  # noqa: PLC0415
    from cluster.processing.routes.reading import read_routes  # noqa: PLC0415

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        return None, [Problem(file=str(path), line=None, where="", message=f"it cannot be read: {error}")]
    return read_routes(text, str(path), Registry())


def _print_problems(problems: "Sequence[Problem]") -> None:
    for problem in problems:
        place, _, said = problem.sentence.partition(": ")
        click.echo(f"{click.style(place, bold=True)}: {said}", err=True)
        for at, line in enumerate(problem.picture):
            click.echo(f"    {click.style(line, fg='red') if at else line}", err=True)
    if problems:
        click.secho(counted(len(problems), "problem"), fg="red", err=True)


def _print_file(path: Path, file: "RouteFile") -> None:
    tests = sum(len(route.tests) for route in file.routes)
    click.echo(f"{path}: {counted(len(file.routes), 'route')}, {counted(tests, 'test')}, nothing wrong")
    table = new_table("ROUTE", "FROM", "TO", "LOOK-UPS", "ON ERROR")
    for route in file.routes:
        table.add_row(
            f"{route.name}@{route.version}",
            route.source.summary,
            "\n".join(one.summary for one in route.destinations),
            ", ".join(lookup.topic for lookup in route.lookups) or "-",
            _policy(route.on_error),
        )
    print_table(table)
    if file.secrets:
        click.echo(f"wants the secrets {', '.join(file.secrets)}")


def _policy(policy: Any) -> str:
    from cluster.processing.policies import describe  # noqa: PLC0415

    return describe(policy)


def _print_outcomes(path: Path, outcomes: "Sequence[Outcome]") -> None:
    for outcome in outcomes:
        name = f"{outcome.route}: {outcome.test}"
        if outcome.passed:
            click.echo(f"{click.style('✓', fg='green')} {name}")
            continue
        place = f"{path}:{outcome.line}" if outcome.line else str(path)
        click.echo(f"{click.style('✗', fg='red')} {click.style(name, bold=True)}   {place}")
        for line in outcome.faults:
            click.echo(f"    {click.style(line, fg=COLOURS.get(line.strip()[:1]))}")
    failed = sum(not outcome.passed for outcome in outcomes)
    if not outcomes:
        click.echo(f"{path}: no tests; [[route.test]] is one")
    elif failed:
        click.secho(f"{path}: {failed} of {counted(len(outcomes), 'test')} failed", fg="red")
        click.echo("    - is what was expected, + what came")
    else:
        click.echo(f"{path}: {counted(len(outcomes), 'test')} passed")


def _plain_problems(problems: "Sequence[Problem]") -> list[dict[str, Any]]:
    return [
        {"file": one.file, "line": one.line, "where": one.where, "message": one.message, "picture": list(one.picture)}
        for one in problems
    ]


def _plain_outcome(path: Path, outcome: "Outcome") -> dict[str, Any]:
    return {
        "file": str(path),
        "line": outcome.line,
        "route": outcome.route,
        "test": outcome.test,
        "passed": outcome.passed,
        "faults": list(outcome.faults),
    }


def _plain_file(file: "RouteFile") -> dict[str, Any]:
    return {
        "file": file.file_name,
        "name": file.name,
        "secrets": list(file.secrets),
        "routes": [
            {
                "name": route.name,
                "version": route.version,
                "from": route.source.summary,
                "to": [one.summary for one in route.destinations],
                "on_error": _policy(route.on_error),
                "tests": len(route.tests),
            }
            for route in file.routes
        ],
    }
