"""The simulated world: virtual time, a network and a disk that fail as told. Same file names as `cluster.real`."""
