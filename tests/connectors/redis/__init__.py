"""Redis against a real one."""
