"""The stages of a deployed app, as people name them: by processor and version. Pure."""

from collections.abc import Iterator

from cluster.errors import InvalidRequest, UnknownApp
from cluster.metadata import App, Stage
from cluster.processing.spec import InputKind, ProcessorSpec, decode_spec

ANY_VERSION = 0


def specs_of(app: App) -> Iterator[tuple[Stage, ProcessorSpec]]:
    """Each with what it is."""
    for stage in app.stages:
        yield stage, decode_spec(stage.spec)


def processor_of(spec: ProcessorSpec) -> str:
    """The processor that a stage belongs to: its own, or the one that it re-keys for."""
    return spec.rekeys_for or spec.name


def chosen(app: App, processor: str, version: int) -> list[tuple[Stage, ProcessorSpec]]:
    """Stages of a processor ("": of all) in a version (0: in all). UnknownApp says which ones there are."""
    found = [
        (stage, spec)
        for stage, spec in specs_of(app)
        if processor in {"", processor_of(spec)} and version in {ANY_VERSION, spec.version}
    ]
    if not found:
        wanted = (processor or "version") + (f"@{version}" if version else "")
        raise UnknownApp(f"app {app.name!r} has no {wanted}; it has {', '.join(processors(app))}")
    return found


def processors(app: App) -> list[str]:
    """By name and version, as they can be asked for."""
    return list(dict.fromkeys(f"{processor_of(spec)}@{spec.version}" for _, spec in specs_of(app)))


def redrivable(app: App, processor: str, version: int) -> list[tuple[Stage, ProcessorSpec]]:
    """Stages that handle the processor's dead letters again; InvalidRequest if there are none, or several versions."""
    stages = chosen(app, processor, version)
    versions = sorted({spec.version for _, spec in stages})
    if len(versions) > 1:
        there = ", ".join(f"{processor}@{number}" for number in versions)
        raise InvalidRequest(f"which version of {processor!r} is to be redriven? There are {there}")
    found = [(stage, spec) for stage, spec in stages if any(item.kind is InputKind.PARKED for item in spec.inputs)]
    if not found:
        raise InvalidRequest(
            f"{app.name}.{processor} keeps no dead letters (on_error is {stages[-1][1].on_error}): nothing to redrive"
        )
    return found
