"""riverrun: an event-streaming cluster in Python. Begin with `cluster/README.md`."""
