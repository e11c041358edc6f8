"""`python -m cluster.cli`: the same as `riverrun`."""

from cluster.cli import main

main()
