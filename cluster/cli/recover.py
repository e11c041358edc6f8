"""`riverrun cluster recover`: what is left of a cluster that lost a majority for good goes on, at a price that is told.

See `cluster.node.recovery`. Nothing is changed without `--unsafe` and a person's word.
"""

import contextlib
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cluster.cli.shared import make_sure

if TYPE_CHECKING:
    from cluster.node.recovery import Plan, Survey
    from cluster.real.disk import RealDisk

ANSWERS_WITHIN_S = 1.0
PLAN_ID_BYTES = 8
_file = click.Path(dir_okay=False, path_type=Path)

HELP = """
Go on without a majority that is lost for good: the last resort.

While lost nodes may come back, with their data, wait for them: nothing is lost then. What only they knew is given
up here: decisions of the controller, and records that were acknowledged. Nodes that are not named are given up as
well, and are refused from then on.

Stop the nodes that are left, and start none of them before it is done on all. Where their data directories are all
on one machine, name all of them:

\b
  riverrun cluster recover --data-dir DIR --data-dir DIR             what would be done, and what it costs
  riverrun cluster recover --data-dir DIR --data-dir DIR --unsafe    does it; then start the nodes

Where they are not:

\b
  riverrun cluster recover --data-dir DIR --write-survey node-1.json         on each machine
  riverrun cluster recover --survey node-1.json --survey node-4.json --write-plan plan.json
  riverrun cluster recover --plan plan.json --data-dir DIR --unsafe          on each machine

If it is interrupted, do the same again: a node that is half recovered refuses to start. Then add nodes (riverrun
cluster add): what lacks replicas gets them by itself.
"""


@click.command(help=HELP)
@click.option(
    "--data-dir",
    "directories",
    multiple=True,
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The data directory of a node that is left, and does not run. Can be repeated.",
)
@click.option(
    "--survey", "surveys", multiple=True, type=_file, help="A file that --write-survey made. Can be repeated."
)
@click.option("--write-survey", type=_file, help="Write what the one data directory holds to this file, and end.")
@click.option("--write-plan", type=_file, help="Write the plan to this file, for other machines.")
@click.option("--plan", "plan_file", type=_file, help="Do what this plan says, to the data directories named here.")
@click.option("--unsafe", is_flag=True, help="Do it. Without this, nothing is changed.")
@click.option("--yes", is_flag=True, help="Do not ask.")
def recover(
    directories: tuple[Path, ...],
    surveys: tuple[Path, ...],
    write_survey: Path | None,
    write_plan: Path | None,
    plan_file: Path | None,
    unsafe: bool,  # noqa: FBT001
    yes: bool,  # noqa: FBT001
) -> None:
    """See HELP."""
    _check_options(directories, surveys, write_survey, plan_file)
    with contextlib.ExitStack() as end:
        disks = {path: end.enter_context(_opened(path)) for path in directories}
        if write_survey is not None:
            _write(write_survey, _survey(*next(iter(disks.items()))).encode())
            return
        plan = _plan_of(disks, surveys, plan_file)
        for line in plan.account:
            click.echo(line)
        click.echo()
        if write_plan is not None:
            _write(write_plan, plan.encode())
        there = _that_answer(plan)
        if there:
            click.echo(
                f"But {there}, and would be given up: it runs. If it is of this cluster, stop it and name its data "
                "directory as well; if another program has its address, stop that for the while"
            )
        if not unsafe:
            click.echo("Nothing was changed. --unsafe does it.")
            return
        if there:
            raise click.ClickException("nothing was changed: a node that would be given up is not gone")
        missing = {one.node for one in plan.survivors} - set(_nodes(disks).values())
        if missing and plan_file is None and write_plan is None:
            raise click.UsageError(
                "some of the nodes that are left are on other machines: --write-plan makes a plan to take there"
            )
        if not yes:
            _confirm(plan)
        _apply(disks, plan, missing)


def _check_options(
    directories: Sequence[Path], surveys: Sequence[Path], write_survey: Path | None, plan_file: Path | None
) -> None:
    if write_survey is not None and (len(directories) != 1 or surveys or plan_file is not None):
        raise click.UsageError("--write-survey goes with one --data-dir, and nothing else")
    if plan_file is not None and (surveys or not directories):
        raise click.UsageError("--plan goes with --data-dir, and without --survey")
    if not directories and not surveys:
        raise click.UsageError("name the data directories of the nodes that are left (--data-dir), or surveys of them")


@contextlib.contextmanager
def _opened(path: Path) -> "Iterator[RealDisk]":
    from cluster.real.disk import RealDisk  # noqa: PLC0415

    disk = RealDisk(path)
    try:
        yield disk
    finally:
        disk.close()


def _survey(path: Path, disk: "RealDisk") -> "Survey":
    from cluster.errors import RiverrunError  # noqa: PLC0415
    from cluster.node.recovery import survey  # noqa: PLC0415

    try:
        return survey(disk)
    except RiverrunError as error:
        raise click.ClickException(f"{path}: {error.message}") from error


def _plan_of(disks: "dict[Path, RealDisk]", surveys: Sequence[Path], plan_file: Path | None) -> "Plan":
    """The one that was begun here, or is named, or is made now."""
    from cluster.node.recovery import begun, decode_plan, decode_survey, make_plan  # noqa: PLC0415
    from cluster.real.clock import RealClock, real_random  # noqa: PLC0415

    if plan_file is not None:
        return decode_plan(_read(plan_file))
    for path, disk in disks.items():
        plan = begun(disk)
        if plan is not None:
            click.echo(f"{path}: this was begun and not ended; it is the plan that counts\n")
            return plan
    found = [_survey(path, disk) for path, disk in disks.items()]
    found += [decode_survey(_read(path)) for path in surveys]
    return make_plan(found, at_ns=RealClock().wall_ns(), plan_id=real_random().randbytes(PLAN_ID_BYTES))


def _nodes(disks: "dict[Path, RealDisk]") -> dict[Path, int]:
    from cluster.node.identity import read_identity  # noqa: PLC0415

    found = {path: read_identity(disk) for path, disk in disks.items()}
    return {path: identity.node for path, identity in found.items() if identity is not None}


def _that_answer(plan: "Plan") -> str:
    """The first node that is to be given up and takes connections; empty: none does."""
    for node, addresses in sorted(plan.lost.items()):
        for address in addresses:
            host, _, port = address.rpartition(":")
            with (
                contextlib.suppress(OSError, ValueError),
                socket.create_connection((host.strip("[]"), int(port)), timeout=ANSWERS_WITHIN_S),
            ):
                return f"node {node} answers at {address}"
    return ""


def _confirm(plan: "Plan") -> None:
    wanted = sorted(plan.lost)
    if not wanted:
        make_sure("Go on?")
        return
    numbers = " ".join(map(str, wanted))
    said = click.prompt(f"To go on, type the numbers of the nodes that are given up for good ({numbers})", default="")
    if said.replace(",", " ").split() != numbers.split():
        raise click.ClickException("nothing was changed")


def _apply(disks: "dict[Path, RealDisk]", plan: "Plan", missing: set[int]) -> None:
    from cluster.errors import RiverrunError  # noqa: PLC0415
    from cluster.node.recovery import apply_plan  # noqa: PLC0415

    nodes = _nodes(disks)
    for path, disk in disks.items():
        try:
            fresh = apply_plan(disk, plan)
        except RiverrunError as error:
            raise click.ClickException(f"{path}: {error.message}") from error
        click.echo(f"node {nodes[path]} ({path}): " + ("recovered" if fresh else "was recovered before"))
    if missing:
        others = ", ".join(map(str, sorted(missing)))
        click.echo(
            f"Now do this on the machines of nodes {others}, if it is not done there yet; then start all of them."
        )
    else:
        click.echo(
            "Start these nodes. `riverrun cluster status` shows what lacks replicas; `riverrun cluster add` nodes."
        )


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise click.ClickException(f"cannot read {path}: {error.strerror}") from error


def _write(path: Path, content: bytes) -> None:
    try:
        path.write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"cannot write {path}: {error.strerror}") from error
    click.echo(f"wrote {path}")
