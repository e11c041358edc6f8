"""`python -m chaos …`: run, list, replay, judge, soak, seeds. Exit 0: all is well; 1: anomalies, or a run broke off."""

import contextlib
import json
import os
import shlex
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import click

from chaos.nemeses.catalogue import CATALOGUE, families
from chaos.nemeses.schedule import Schedule
from chaos.rejudging import rejudge
from chaos.report.page import write_report
from chaos.report.progress import Progress, RunState
from chaos.run import Run
from chaos.running import ARENAS, Done, NotPossible, run_scenario
from chaos.scenario import Scenario, UnknownWord, faults_named
from chaos.scenarios import SCENARIOS
from chaos.seeds import Batch, quiet, run_seeds
from chaos.workloads import WORKLOADS, workload_class

RUNS = Path("chaos-runs")
ANOMALIES = 1
arena_option = click.option("--arena", type=click.Choice(ARENAS), default="processes", show_default=True)
out_option = click.option("--out", type=click.Path(path_type=Path), help="The run's folder; else one below chaos-runs.")


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Break a cluster while clients work on it, and judge what they saw."""
    if os.environ.get("PYTHONHASHSEED") != "0":  # simulated runs are the same again, for the order of sets is
        os.environ["PYTHONHASHSEED"] = "0"
        os.execv(sys.executable, [sys.executable, "-m", "chaos", *sys.argv[1:]])
    signal.signal(signal.SIGTERM, _interrupted)


def _interrupted(*_: object) -> None:
    """As Ctrl-C, once: what a run has made is taken away, and nobody interrupts that."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.raise_signal(signal.SIGINT)


@main.command("run")
@click.argument("scenario", required=False)
@arena_option
@click.option("--workload", "workloads", default="", metavar="NAME[,…]", help="Instead of a scenario's; default: log.")
@click.option("--nemesis", default=None, metavar="NAME[,…]", help="Faults and families of them (`chaos list`).")
@click.option("--minutes", type=float, help="Of load and faults; healing and reading come on top.")
@click.option("--seed", type=int, default=1, show_default=True)
@click.option("--nodes", type=click.IntRange(1, 5), help="Default: the scenario's, 3.")
@click.option("--every", type=float, metavar="SECONDS", help="Between faults, on average.")
@out_option
def run_command(
    scenario: str | None,
    arena: str,
    workloads: str,
    nemesis: str | None,
    minutes: float | None,
    seed: int,
    nodes: int | None,
    every: float | None,
    out: Path | None,
) -> None:
    """Run SCENARIO, or a mix of workloads and faults of your own, once."""
    chosen = _scenario(scenario, workloads, nemesis)
    chosen = replace(
        chosen,
        seconds=chosen.seconds if minutes is None else minutes * 60,
        nodes=nodes or chosen.nodes,
        every_s=every or chosen.every_s,
    )
    sys.exit(_run(chosen, arena, seed, out or RUNS / f"{chosen.name}-{arena}-seed{seed}"))


def _scenario(name: str | None, workloads: str, nemesis: str | None) -> Scenario:
    if name is not None and name not in SCENARIOS:
        raise click.UsageError(f"there is no scenario {name!r}; there are: {', '.join(SCENARIOS)}")
    chosen = SCENARIOS[name] if name is not None else Scenario(name="own", workloads={"log": {}})
    words = [word for word in workloads.split(",") if word]
    for word in words:
        if word not in WORKLOADS:
            raise click.UsageError(f"there is no workload {word!r}; there are: {', '.join(WORKLOADS)}")
    if words:
        chosen = replace(chosen, workloads={word: {} for word in words})
    if nemesis is not None:
        try:
            chosen = replace(chosen, faults=faults_named(word for word in nemesis.split(",") if word))
        except UnknownWord as error:
            raise click.UsageError(str(error)) from error
    return chosen


def _run(scenario: Scenario, arena: str, seed: int, folder: Path, schedule: Schedule | None = None) -> int:
    what = f"{', '.join(scenario.workloads)} in {arena}, {scenario.nodes} nodes, {scenario.seconds:.0f} s, seed {seed}"
    click.echo(f"{scenario.name}: {what}\n{', '.join(scenario.faults) or 'no faults'}\n→ {folder}")
    quiet()
    with contextlib.ExitStack() as shown:

        def watch(run: Run) -> None:
            state = RunState(
                title=f"{scenario.name} in {arena}, seed {seed}",
                seconds=scenario.seconds,
                now_s=run.arena.now_s,
                phase=lambda: run.phase,
            )
            shown.enter_context(Progress(run.history, state))

        try:
            done = run_scenario(scenario, arena=arena, seed=seed, folder=folder, schedule=schedule, watch=watch)
        except (FileExistsError, NotPossible) as error:
            raise click.UsageError(str(error)) from error
    write_report(folder)
    _tell(done)
    if not done.verdict.ok:
        click.echo(f"repeat it: python -m chaos replay {shlex.quote(str(folder))}")
    return 0 if done.verdict.ok else ANOMALIES


def _tell(done: Done) -> None:
    for sentence in done.skipped:
        click.echo(f"skipped: {sentence}")
    click.echo(done.verdict.summary())
    click.echo(f"report: {done.folder / 'report.html'}")


@main.command("list")
def list_command() -> None:
    """Scenarios, workloads and faults."""
    click.echo("scenarios")
    for scenario in SCENARIOS.values():
        click.echo(f"  {scenario.name:20} {scenario.about}")
    click.echo("\nworkloads")
    for name in WORKLOADS:
        options = ", ".join(f"{option}={value}" for option, value in workload_class(name).options.items())
        click.echo(f"  {name:20} {options}")
    for family, names in families().items():
        click.echo(f"\nfaults: {family}")
        for name in names:
            click.echo(f"  {name:20} {CATALOGUE[name].about} [{', '.join(CATALOGUE[name].roles)}]")


@main.command("replay")
@click.argument("run", type=click.Path(exists=True, path_type=Path))
@out_option
def replay_command(run: Path, out: Path | None) -> None:
    """Run again what RUN (its folder, or a file in it) ran: the same schedule. Simulated, it is the very same run.

    Where one of its faults is not possible, nothing is run.
    """
    folder = run if run.is_dir() else run.parent
    plain = json.loads((folder / "run.json").read_text())
    scenario = Scenario.from_json(json.dumps(plain["definition"]))
    schedule = Schedule.from_json((folder / "schedule.json").read_text())
    target = out or next(_free(folder))
    sys.exit(_run(scenario, plain["arena"], plain["seed"], target, schedule))


def _free(folder: Path) -> Iterator[Path]:
    for number in count(2):
        path = folder.with_name(f"{folder.name}-again{number}")
        if not path.exists():
            yield path


@main.command("judge")
@click.argument("run", type=click.Path(exists=True, path_type=Path))
def judge_command(run: Path) -> None:
    """Judge the history of RUN (its folder) once more; what only the run itself could see is repeated.

    A run that did not come to its end proves nothing: of it only that is judged which needs no final reads.
    """
    try:
        again = rejudge(run)
    except FileNotFoundError as error:
        raise click.UsageError(f"{run} is no run's folder: {error}") from error
    for sentence in [*again.found, *again.unproven]:
        click.echo(sentence)
    count = len(again.found)
    click.echo("nothing is proven" if again.unproven and not count else f"{count} anomalies")
    sys.exit(ANOMALIES if again.found or again.unproven else 0)


@main.command("soak")
@click.argument("scenarios", nargs=-1)
@arena_option
@click.option("--minutes", type=float, help="Of each run; default: the scenario's own.")
@click.option("--every", type=float, metavar="SECONDS", help="Between faults, on average.")
@click.option("--runs", type=int, default=0, metavar="N", help="Stop after so many; default: at the first that is bad.")
@click.option("--from", "first", type=int, default=1, show_default=True, help="The first seed.")
@out_option
def soak_command(
    scenarios: tuple[str, ...],
    arena: str,
    minutes: float | None,
    every: float | None,
    runs: int,
    first: int,
    out: Path | None,
) -> None:
    """Run SCENARIOS (all, if none is named) one after the other with seed after seed, until one finds something."""
    chosen = [_scenario(name, "", None) for name in scenarios] or list(SCENARIOS.values())
    for number in count():
        if runs and number >= runs:
            return
        scenario, seed = chosen[number % len(chosen)], first + number // len(chosen)
        seconds = scenario.seconds if minutes is None else minutes * 60
        scenario = replace(scenario, seconds=seconds, every_s=every or scenario.every_s)
        code = _run(scenario, arena, seed, (out or RUNS) / f"{scenario.name}-{arena}-seed{seed}")
        if code:
            sys.exit(code)


@main.command("seeds")
@click.argument("scenario")
@click.option("--runs", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="How many.")
@click.option("--from", "first", type=int, default=1, show_default=True, help="The first seed.")
@click.option("--jobs", type=click.IntRange(min=1), default=1, show_default=True, help="So many at a time.")
def seeds_command(scenario: str, runs: int, first: int, jobs: int) -> None:
    """Run SCENARIO in virtual time with seed after seed, without folders; what it prints can go into the figures."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # there is nothing to take away
    chosen = _scenario(scenario, "", None)
    batch = Batch(scenario)
    for done in run_seeds(chosen, range(first, first + runs), jobs=jobs):
        batch.add(done)
        click.echo(f"seed {done.seed}: {done.seconds:.0f} s, {done.cpu_s:.1f} s of CPU, {len(done.found)} anomalies")
        for sentence in done.found[:3]:
            click.echo(f"  {sentence}\n  repeat it: python -m chaos run {scenario} --arena sim --seed {done.seed}")
    click.echo(batch.summary())
    sys.exit(ANOMALIES if batch.bad else 0)
