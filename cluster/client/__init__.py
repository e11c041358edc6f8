"""The asynchronous Python client, over any world's network: the same code talks to real nodes and to simulated ones.

Producing: `producer` fills batches (`accumulator`), `dispatch` moves them, `window` says in what order and under what
number (its rules stand before its code). Reading: `reader` merges what each `partition_reader` delivers. Appending
under a condition: `appending`. Reading as a member of a group: `subscription` (its rules stand before its code), on the
stream of its `membership`. Topics and the cluster: `admin`; groups: `group_admin`. For those who have no event loop:
`blocking`. Pure: routing, backoff, outgoing, accumulator, window, decoding, positions, views, group_views.
"""
