"""Seeds of whole clusters with an app at work: nodes, links, disks and processes with user code fail as drawn."""
