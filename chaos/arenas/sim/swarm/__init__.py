"""The swarm: each seed draws a cluster, its options, a mix of faults and of loads, and is judged."""
