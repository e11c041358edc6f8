"""What a node's log can be: here, so that `riverrun node --help` need not load what writes it."""

LEVELS = ("debug", "info", "warning", "error", "critical")
FORMATS = ("json", "text")
