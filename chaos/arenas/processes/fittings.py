"""Which fitting brings which faults, and the fittings that a run needs."""

from collections.abc import Sequence
from importlib import import_module

from chaos.arenas.processes.fitting import Fitting
from chaos.arenas.processes.netspace.injectors import PROXIES_ONLY
from chaos.nemeses.catalogue import CATALOGUE

FITTINGS = {
    "kills": "chaos.arenas.processes.kills:Kills",
    "links": "chaos.arenas.processes.links.fitting:Links",
    "netspace": "chaos.arenas.processes.netspace.fitting:NetSpace",
    "disks": "chaos.arenas.processes.disks.fitting:LoopDisks",
    "failing disks": "chaos.arenas.processes.disks.fitting:FailingDisks",
    "lying disks": "chaos.arenas.processes.disks.fitting:LyingDisks",
    "damage": "chaos.arenas.processes.disks.fitting:DamagedDisks",
    "clocks": "chaos.arenas.processes.clocks:Clocks",
    "limits of processes": "chaos.arenas.processes.limits:ProcessLimits",
    "limits of groups": "chaos.arenas.processes.limits:GroupLimits",
    "disks' speed": "chaos.arenas.processes.limits:DiskSpeed",
}
"""Where each is, by its name, in the order in which they are fitted."""
SEEDED = {"netspace"}
BY_FAMILY = {
    "process": "kills",
    "partition": "links",
    "network": "links",
    "packet": "netspace",
    "disk": "failing disks",
    "damage": "damage",
    "clock": "clocks",
}
"""The fitting that brings a family of faults. Of those that several could bring it is the one that needs least."""
BY_FAULT: dict[str, str | None] = {
    **dict.fromkeys(("address_space", "descriptors"), "limits of processes"),
    **dict.fromkeys(("memory", "threads", "cpu", "freeze"), "limits of groups"),
    **dict.fromkeys(("power_loss", "power_loss_all", "full_disk"), "disks"),
    "lying_sync": "lying disks",
    "slow_disk": "disks' speed",
    **dict.fromkeys(("flip_bit", "truncate_file")),
}
"""The same of single faults. None: there is none, only the simulator does it."""


def fittings_for(
    faults: Sequence[str], seed: int = 0, *, growing: bool = False
) -> tuple[list[Fitting], list[str], list[str]]:
    """What has to be fitted for these faults; the faults that are possible; why others are not, in sentences.

    `seed`: of what a fitting draws by itself, packet by packet. `growing`: nodes will come later.
    """
    place_of = {fault: BY_FAULT.get(fault, BY_FAMILY.get(CATALOGUE[fault].family)) for fault in faults}
    sentences = [f"{fault}: not in real processes" for fault, place in place_of.items() if place is None]
    made = {name: _make(name, seed) for name in FITTINGS if name in place_of.values()}
    if growing:
        fixed = {name: why for name, fitting in made.items() if (why := fitting.why_fixed())}
        sentences += [
            f"{fault}: not where nodes come later, for {fixed[place]}"
            for fault, place in place_of.items()
            if place in fixed
        ]
        place_of = {fault: place for fault, place in place_of.items() if place not in fixed}
    if "netspace" in place_of.values():  # nodes in namespaces have no addresses that proxies could stand before
        place_of = {fault: "netspace" if place == "links" else place for fault, place in place_of.items()}
        sentences += [
            f"{fault}: proxies do it, and faults of packets leave no place for them"
            for fault in place_of
            if fault in PROXIES_ONLY
        ]
        place_of = {fault: place for fault, place in place_of.items() if fault not in PROXIES_ONLY}
    fitted: dict[str, Fitting] = {}
    for name in FITTINGS:
        if name not in place_of.values():
            continue
        fitting = made[name]
        why = fitting.missing()
        if why:
            missed = [fault for fault, place in place_of.items() if place == name]
            sentences.append(f"{', '.join(missed)}: {why}")
        else:
            fitted[name] = fitting
    return list(fitted.values()), [fault for fault, place in place_of.items() if place in fitted], sentences


def _make(name: str, seed: int) -> Fitting:
    module, _, attribute = FITTINGS[name].partition(":")
    fitting: Fitting = getattr(import_module(module), attribute)(**({"seed": seed} if name in SEEDED else {}))
    return fitting
