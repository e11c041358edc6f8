"""Hosts of user code."""
