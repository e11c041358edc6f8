"""Everything between a value and its bytes on a stream; the only importer of generated code (`pb/`).

`records` encodes what a batch holds, `api` the public messages, `peer` what nodes say to each other, `status` errors,
`links` the streams between nodes.
"""
