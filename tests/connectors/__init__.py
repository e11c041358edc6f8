"""Sources and sinks against real peers: their promises through kills of both sides, and what bad input is told."""
