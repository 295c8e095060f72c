"""Simulated turbines: wind (`wind`), when and what they send (`schedule`, `payload`), and the MQTT fleet (`fleet`).

A short way to a running fleet: `plan.choose_turbines`, `plan.plan_devices`, then `fleet.Fleet(…).run()`.
"""
