"""Where a run takes place: clusters that can be broken, simulated or of real processes; `arena.py` has the contract."""
