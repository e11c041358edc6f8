"""MQTT: sensors and devices as a source, and as a destination (MQTT 5 or 3.1.1; `riverrun[mqtt]`).

Promises:
1. A message of QoS 1 or 2 is acknowledged when it is committed here, and not before. What a broker sends again after a
   lost connection is captured again: at least once. What was published with QoS 0 comes at most once: the broker keeps
   none of it for anybody who is away.
2. The broker's session is the cursor. It is bound to the client's id, made of the deployment's identity and the share,
   so that a share that moves to another node takes its session with it, and throws the one before it out. The broker
   keeps it for `session_expiry`, and in it as much as *its own* limits allow (Mosquitto: `max_queued_messages`, 1,000
   if not set). A session that is lost is told in the log: what was published meanwhile is lost with it.
3. A message that does not decode stops nothing: it comes as the bytes that it is, with the header `rr-undecoded`.
4. What is sent is acknowledged by the broker before it counts as sent, and may be sent again after a crash. In MQTT 5
   it has its id as the user property `riverrun-id`.

`options` and `topics` are pure and need no library; `connection` is all that knows aiomqtt's and paho's insides.
"""
