"""Workloads on small arenas of this folder: simulated nodes and real ones, killed and cut off without finesse."""
