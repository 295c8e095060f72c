"""The MQTT side that all generations share: wire format and sessions."""
