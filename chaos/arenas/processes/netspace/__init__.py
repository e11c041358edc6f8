"""Faults below TCP: each node in a network namespace of its own, and what connects them is ours to break.

`fitting.py` fits it around nodes. `warden.py` is a process that makes it all, is the switch, and takes it away.
"""
