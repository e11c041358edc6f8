"""Tasks on nodes."""
