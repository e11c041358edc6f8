"""Whole clusters in one process under virtual time: faults of every kind, and invariants after every turn."""
