"""Real nodes on this machine: real sockets, real disks, and everything that can be done to them."""
