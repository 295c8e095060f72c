"""A fleet of simulated devices that publish by MQTT as real ones do.

`plan` says which devices, `options` how they behave; `fleet.Fleet` runs them on one event loop (`loop`), each with its
own connection (`connection`), schedule and payloads (`reading`) and outbox (`outbox`).
"""
