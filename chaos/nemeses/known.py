"""All faults that there are: importing this registers them."""

from chaos.nemeses import limits, links, packets, sim

__all__ = ["limits", "links", "packets", "sim"]
