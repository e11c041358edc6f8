"""What riverrun captures from and routes to: databases, brokers, files, services. One contract for all (`contract`).

Rules:
1. A connector knows its peer and nothing else: no topic, no task, no cluster. Whoever runs it hands it a cursor and
   takes what it read, or hands it records and takes its word that they are there.
2. Captured and remembered are one: the cursor behind what was read is in the commit that holds what was read. A source
   tells its peer that it may forget only after that commit (`Source.committed`).
3. What a sink promises is declared (`Guarantee`), shown, and tested with kills of both sides.
4. A peer that is away is waited for (Unreachable); a record that the peer will never take is named (RecordRefused);
   what only a person can mend says what and where in one sentence (InvalidRoute). Nothing is dropped, and no secret is
   in any message.
5. A limit on everything: what is read ahead, what is in flight, how long a call may take.
"""
