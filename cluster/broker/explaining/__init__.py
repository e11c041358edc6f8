"""Who waits for whom, why, and what to do: `riverrun explain`.

Nodes look at themselves (`looking`), one of them asks all that have a part in it (`asking`, `service`); what comes of
their looks is drawn by pure functions (`partition`, `group`, `task`, `node`), which see nothing else. Whoever does not
answer is a fact like any other.

Rules:
1. A finding says a cause with the numbers that prove it, its consequence, and what to do, with the command.
2. What was not seen is not said: "does not answer" is not "is dead", unless nobody can connect to it.
3. What is healthy is told with the same numbers.
"""
