"""The real world: asyncio, files, gRPC, HTTP. Same file names as `cluster.sim`, which has no `web`."""
