"""What goes wrong: the faults there are, schedules of them drawn from a seed, and whoever carries a schedule out."""
