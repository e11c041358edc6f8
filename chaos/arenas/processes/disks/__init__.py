"""What can happen to the disks of real nodes: power loss, failing and lying calls, no room, damage at rest and in use.

`fitting.Disks` is fitted around the nodes; the faults are registered in `chaos.nemeses.disks`.
"""
