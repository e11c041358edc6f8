"""PostgreSQL: tables captured by logical replication, and tables written, both exactly once.

Rules:
1. **Captured once.** What the cursor says is what is committed here (`cursor.py` has how a snapshot and the stream
   become one): the stream is read again from there, and of the transaction in which it lies so many changes are passed
   over.
   PostgreSQL may forget only what is before a committed cursor, and a slot that is ahead of the cursor is a lost one.
2. **Written once.** A batch and the position behind it are one transaction, which must find the position where the
   batch begins; whoever was taken over finds another one, and writes nothing.
3. **Bounded.** A transaction of any size is read in pieces; PostgreSQL keeps the rest on its disk.
"""

from cluster.connectors.postgres.options import PostgresSink, PostgresSource

__all__ = ["PostgresSink", "PostgresSource"]
