"""Routes: from a source, through `where`, `map`, `set` and `drop`, to destinations, as a TOML file says.

`route_file` has the file's reference. An expression in it is a checked subset of Python (`expressions`): fields of the
record, arithmetic, comparisons, a fixed list of functions (`functions`); its kinds are checked where they are known
(`kinds`, `checking`). All expressions of a route become one or two loops over a batch of decoded records (`generating`,
`program`). `testing` runs the file's own tests.

Rules:
1. What a file can say is bounded: no expression runs for ever or makes more of a record than `guards.TEXT_MAX` of it.
   There are no loops, no names that grow, no repetition; patterns are matched in one pass (`patterns`).
2. The same record makes the same thing: no clock and no chance. `now()` is the record's own time.
3. What is wrong with a file is said before anything runs, all of it, each in one sentence with its place. What is wrong
   with a record is said of that record: which expression, which part of it, and why.
"""
