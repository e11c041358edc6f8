"""The real world: asyncio, files, gRPC, HTTP, processes. `cluster.sim` has the same file names for what it has."""
