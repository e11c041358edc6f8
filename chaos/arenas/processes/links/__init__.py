"""Every link of a cluster through a proxy of its own: Toxiproxy's server, what drives it, and the faults it brings.

- From each node to each other one there are two: to its peer listener, and to its client listener, where a node passes
  on what it does not lead. To each node there is one for clients: nodes advertise it.
- What is wanted of the proxies is kept here (`fitting.py`), not in the server: one that crashes or hangs is replaced by
  another on the same ports, with everything that was in force.
- The library for Toxiproxy has holes, which `api.py` closes; `control.py` calls it without blocking the loop.
"""
