"""Which fitting brings which faults, and the fittings that a run needs."""

from collections.abc import Sequence
from importlib import import_module

from chaos.arenas.processes.fitting import Fitting

FITTINGS: dict[str, str] = {
    "kills": "chaos.arenas.processes.kills:Kills",
    "clocks": "chaos.arenas.processes.clocks:Clocks",
    "limits of processes": "chaos.arenas.processes.limits:ProcessLimits",
    "limits of groups": "chaos.arenas.processes.limits:GroupLimits",
    "disks' speed": "chaos.arenas.processes.limits:DiskSpeed",
}
"""Where each is, by its name."""
BY_FAULT: dict[str, str] = {
    **dict.fromkeys(("kill", "terminate", "pause", "rolling_restart", "swizzle"), "kills"),
    **dict.fromkeys(("clock_jump", "clock_rate", "clocks_rate"), "clocks"),
    **dict.fromkeys(("address_space", "descriptors"), "limits of processes"),
    **dict.fromkeys(("memory", "threads", "cpu", "freeze"), "limits of groups"),
    "slow_disk": "disks' speed",
}
"""The fitting that brings a fault. Of those that several could bring it is the one that needs least."""


def fittings_for(faults: Sequence[str]) -> tuple[list[Fitting], list[str], list[str]]:
    """What has to be fitted for these faults; the faults that are possible; why others are not, in sentences."""
    wanted = {BY_FAULT[fault] for fault in faults if fault in BY_FAULT}
    fitted: dict[str, Fitting] = {}
    skipped: dict[str, str] = {}
    for name, place in FITTINGS.items():
        if name in wanted:
            module, _, attribute = place.partition(":")
            fitting: Fitting = getattr(import_module(module), attribute)()
            why = fitting.missing()
            if why:
                skipped[name] = why
            else:
                fitted[name] = fitting
    possible = [fault for fault in faults if BY_FAULT.get(fault) in fitted]
    sentences = [
        f"{', '.join(sorted(fault for fault in faults if BY_FAULT.get(fault) == name))}: {why}"
        for name, why in skipped.items()
    ]
    sentences += [f"{fault}: not in real processes" for fault in faults if fault not in BY_FAULT]
    return list(fitted.values()), possible, sentences
