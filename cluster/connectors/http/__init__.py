"""Webhooks: records that others POST to us, and records that we POST to others.

What is signed is checked before it is looked at, with the time that is signed with it where the scheme has one; what
was sent again (the same id) is taken once. The sender gets its answer after the record is on a majority's disks.
"""
