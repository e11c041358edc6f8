"""A table in a SQLite file as a destination, exactly once: rows and positions are written in one transaction."""
