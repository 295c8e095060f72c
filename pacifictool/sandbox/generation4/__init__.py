"""What only servers of the 4.x generation have: rule chains, profiles, modern paging and errors, their MQTT behaviour.

How such a server behaves was observed on 4.3.1 (docs/servers/index.md#reading-a-row). docs/sandbox.md
lists where the sandbox differs on purpose.
"""
