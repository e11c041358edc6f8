"""Tasks on a node: each replica of a task's log keeps the task's state, and whoever leads it runs the task.

`keeper` follows the log's commit on every replica, and applies what is committed to the store. `leading` is what the
leader does beside that: read inputs (`feeding`), have the user's code do works, make commits of them (`making`),
propose them, ship outputs (`shipper`, `outlets`), and have deleted what was read between stages (`emptying`). `tasks`
is all of that on one node.

Rules:
1. A leader begins when all entries before its term are applied here: then its ledger is the truth.
2. Works are made ahead of the log, against a *tip*: the ledger as if all that was made were committed. As soon as one
   of them is refused, or its fate is unknown, all of that is thrown away, and begins again from the log once everything
   that was proposed is in it or never will be.
3. A log goes no further than what its store has made durable, and what is not at its destination (`Applying`). Whoever
   is behind the log's start gets the state from another replica (`fetching`).
4. What user code does to its process is `suspicion`'s: the record is found, and the task goes on. A record that it
   raises at, and that is to be tried again, waits for its turn (`retrying`); other partitions go on meanwhile.
"""
