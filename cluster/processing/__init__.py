"""Processing: plain Python beside the log."""
