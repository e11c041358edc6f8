"""Judges of histories. Each is tested against bad ones that it must catch and good ones that it must pass."""
