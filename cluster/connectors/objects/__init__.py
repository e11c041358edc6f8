"""Whole files in a directory, or objects in a bucket: as a destination exactly once, as a source once each.

`store` is what both need of either place: `local` a directory, `bucket` S3 and its like. The sink: `rows` makes bytes
of records, `pieces` names and proves, `sink` acts. The source: `finished` is its cursor, `contents` reads formats.
"""
