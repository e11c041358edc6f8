"""Which faults are possible where nodes come later."""

from chaos.arenas.processes.fittings import fittings_for
from chaos.arenas.processes.links.fitting import Links
from chaos.arenas.processes.netspace.fitting import NetSpace

FAULTS = ("kill", "partition_one", "packet_loss", "damaged_log", "lying_sync", "cpu")


def test_what_cannot_be_fitted_later_is_left_out_with_its_reason() -> None:
    """Namespaces, and disks that are always the same node's; then proxies cut nodes off, and not packet filters."""
    fixed, _, _ = fittings_for(FAULTS)
    growing, possible, why = fittings_for(FAULTS, growing=True)

    assert Links not in {type(fitting) for fitting in fixed}
    assert not {"packet_loss", "damaged_log", "lying_sync"} & set(possible)
    assert NetSpace not in {type(fitting) for fitting in growing}
    assert all(fitting.why_fixed() == "" for fitting in growing)
    said = {sentence.partition(":")[0]: sentence for sentence in why}
    assert "packet_loss: not where nodes come later, for the network's namespaces are made" in said["packet_loss"]
    assert "always the same node's disk" in said["damaged_log"]
