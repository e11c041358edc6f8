"""User code in a process of its own, and how a node talks to it.

A *host* is a process with the code of one file in it, and the runners (*seats*) of the tasks that use it. It is a child
of the node (`child`), or an external worker at the other end of a stream (`workers`); both speak the same frames
(`frames`), the host in a plain blocking loop (`serving`), the node in asyncio (`conversation`).

Rules:
1. A host knows no network and no cluster. What it wants to know of its tasks' state it asks for, over the same
   connection, and it has nothing that could not be had again.
2. It does one thing at a time, in the order asked. So the node knows whose work is in hand, and for how long: whoever
   takes longer than `work_s_max`, reading of state aside, is taken to hang, and is ended.
3. When it ends, for whatever reason, all of its seats are gone: everybody gets HostFailed, whose metadata say whether
   it was their own work that was in hand (`at_work`). Restarts are spaced out (`restarts`).
4. What user code raises is an answer like any other. Only lack of memory ends the host: what it has left over from one
   record would else be blamed on another.
"""
