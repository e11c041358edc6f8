"""The node's HTTP port: JSON for browsers, devices, curl and webhooks, answered by the handlers that answer gRPC.

`app` puts it together; `guard` decides who may ask; `connect` is every public method as JSON; `publishing`, `reading`
and `events` are a topic's records as plain URLs. `records`, `cloud_events`, `places` and `times` say how things look in
JSON. Nobody outside of this package imports Starlette, and the node imports this package only when it has such a port.
"""
