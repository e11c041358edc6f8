"""`python -m chaos.report.figures`: runs are added to chaos/figures.json, and the guarantees page shows their sum.

`add FOLDER …` adds judged runs by their folders; `add-seeds` adds a batch of seeds that left no folders (the swarms in
`tests/`), by what it printed. `--write` puts the tables into chaos/GUARANTEES.md, between two markers; without it they
are printed. A run that found something is added like any other.
"""

import json
from pathlib import Path

import click

from chaos.report.run_folder import read_run
from chaos.report.tables import markdown
from chaos.report.tally import KINDS, NotCounted, Tally, added, tally

FILE = Path(__file__).parent.parent / "figures.json"
PAGE = Path(__file__).parent.parent / "GUARANTEES.md"
BEGIN, END = "<!-- figures: generated -->", "<!-- figures: end -->"


def read_figures(path: Path = FILE) -> list[Tally]:
    """Everything that was added so far."""
    return [Tally(**plain) for plain in json.loads(path.read_text())] if path.exists() else []


def write_figures(tallies: list[Tally], path: Path = FILE) -> None:
    """One tally after the other, so that a change is a few lines."""
    path.write_text(json.dumps([one.plain() for one in tallies], indent=1, sort_keys=True) + "\n")


def replaced(page: str, block: str) -> str:
    """The page with another block between its markers. ValueError without them."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"the page has no {BEGIN} … {END}")
    return f"{before}{BEGIN}\n\n{block}\n\n{END}{after}"


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--write", is_flag=True, help="Put the tables into chaos/GUARANTEES.md.")
@click.pass_context
def main(context: click.Context, *, write: bool) -> None:
    """The sum of all runs that were added, as tables."""
    if context.invoked_subcommand is not None:
        return
    block = markdown(read_figures())
    if write:
        PAGE.write_text(replaced(PAGE.read_text(), block))
    else:
        click.echo(block)


@main.command("add")
@click.argument("folders", nargs=-1, required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--commits", default="", metavar="A..B", help="What they ran at; needed where it is not one commit.")
@click.option("--cpu-minutes", type=float, help="What all of them took, if they are of one scenario.")
@click.option("--file", type=click.Path(path_type=Path), default=FILE, help="Default: chaos/figures.json.")
def add_command(folders: tuple[Path, ...], commits: str, cpu_minutes: float | None, file: Path) -> None:
    """Add judged runs by their FOLDERS."""
    try:
        more = tally([read_run(folder) for folder in folders], commits=commits, cpu_minutes=cpu_minutes)
        _add(more, file)
    except (NotCounted, OSError) as error:
        raise click.ClickException(str(error)) from error


@main.command("add-seeds")
@click.argument("kind", type=click.Choice(list(KINDS)))
@click.option("--what", required=True, metavar="COMMAND", help="What ran, such as `python -m tests.raft.sim`.")
@click.option("--first", type=int, default=1, show_default=True, help="The first seed.")
@click.option("--seeds", type=click.IntRange(min=1), required=True, help="How many.")
@click.option("--hours", type=float, required=True, help="Simulated.")
@click.option("--commits", required=True, metavar="A..B")
@click.option("--anomalies", type=int, required=True)
@click.option("--cpu-minutes", type=float)
@click.option(
    "--operation", "operations", type=(str, int), multiple=True, metavar="OUTCOME N", help="invoke, ok, fail, info"
)
@click.option("--fault", "faults", type=(str, int), multiple=True, metavar="NAME N")
@click.option("--file", type=click.Path(path_type=Path), default=FILE, help="Default: chaos/figures.json.")
def add_seeds_command(
    kind: str,
    what: str,
    first: int,
    seeds: int,
    hours: float,
    commits: str,
    anomalies: int,
    cpu_minutes: float | None,
    operations: tuple[tuple[str, int], ...],
    faults: tuple[tuple[str, int], ...],
    file: Path,
) -> None:
    """Add a batch of seeds by what it printed."""
    one = Tally(
        kind=kind,
        what=what,
        commits=commits,
        seeds=f"{first}-{first + seeds - 1}" if seeds > 1 else str(first),
        runs=seeds,
        hours=hours,
        operations=dict(operations),
        faults=dict(faults),
        anomalies=anomalies,
        cpu_minutes=cpu_minutes,
    )
    try:
        _add([one], file)
    except NotCounted as error:
        raise click.ClickException(str(error)) from error


def _add(more: list[Tally], file: Path) -> None:
    write_figures(added(read_figures(file), more), file)
    for one in more:
        click.echo(f"{one.what}: {one.runs:,} runs, {one.anomalies:,} anomalies")


if __name__ == "__main__":
    main()
