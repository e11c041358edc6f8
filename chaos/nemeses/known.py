"""All faults that there are: importing this registers them."""

from chaos.nemeses import cuts, sim

__all__ = ["cuts", "sim"]
