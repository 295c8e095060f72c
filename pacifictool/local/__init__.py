"""A sandbox that outlives its command, and everything that connects a sandbox to the toolkit.

`stack` is a sandbox next to a Kafka broker, `daemon` the background process that holds a stack, `launcher` starts the
sandbox's server as a process, and `server` runs in that process: it adds the checks of who connects, the page and the
broker's login to `pacifictool.sandbox`, which imports none of them.
"""
