"""Sources and sinks as stages: how connectors (`cluster.connectors`) meet works, effects and commits.

Connectors run where user code does, in a process of their own for each stage, on an event loop beside the loop that
serves the node (`background`). So a destination that is slow, or a database that is away, holds up nobody else.

Rules:
1. A source reads ahead, a little (`inflow`); what is there becomes a work's outputs, and the cursor behind it is keyed
   state of the task, in the same commit: captured and remembered are one. The peer hears of it after the commit.
2. A sink's works are done when their records are at the destination; then their positions are committed. Who dies in
   between does it again, and what that means for the destination is the sink's declared guarantee.
3. A sink that keeps positions with its data is asked for them first, and what lies below is passed over. Positions go
   on without gaps: a record that was put aside moves them like one that was written.
4. A sink may hold records for a larger piece: then works are *held*, one commit for several, when the piece is there.
5. A peer that is away is no fault of a record: the work, or the reading, is tried again until it goes.
"""
