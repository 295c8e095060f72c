"""A local stand-in for a Pacificsoft server: REST, device MQTT, rule engine and Kafka forwarding in one process.

`server` assembles and runs it; `pacifictool.local` starts it as a process. This package has what servers of all
generations share (store, entities, telemetry, users and tokens, the MQTT wire); `generation1` and `generation4` have
the rest. docs/servers states how servers behave (docs/servers/index.md#reading-a-row); docs/sandbox.md lists where the
sandbox differs on purpose.
"""
