"""PostgreSQL captured and written: against a real server."""
