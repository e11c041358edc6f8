"""A harness that tries to break riverrun, and judges by the history of what clients saw. Begin with `README.md`."""
