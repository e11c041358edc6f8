"""The real world: asyncio, files, gRPC. Same file names as `cluster.sim`."""
