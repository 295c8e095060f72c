"""What is peculiar to servers of the 4.x generation: rule chains, profiles, modern paging and errors, their MQTT ways.

How such a server behaves was observed on 4.3.1 (docs/servers/index.md#reading-a-row). docs/sandbox.md
lists where the sandbox differs on purpose.
"""
