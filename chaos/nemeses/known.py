"""All faults that there are: importing this registers them."""

from chaos.nemeses import disks, limits, links, packets, sim

__all__ = ["disks", "limits", "links", "packets", "sim"]
