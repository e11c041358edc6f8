"""All faults that there are: importing this registers them."""

from chaos.nemeses import links, packets, sim

__all__ = ["links", "packets", "sim"]
