"""A local stand-in for a Pacificsoft server: REST, device MQTT, rule engine and Kafka forwarding in one process.

`server` puts it together and runs it, `launcher` starts it as a process of its own. Everything that servers of all
generations share (store, entities, telemetry, users and tokens, the MQTT wire) lies here; what is peculiar to servers
with plugins and rules lies in `generation1`. How a server behaves is stated in
docs/servers (docs/servers/index.md#reading-a-row); docs/sandbox.md lists where the sandbox differs on purpose.
"""
