"""Kafka as our own clients meet it: properties (`config`), topics (`topics`), a bounded reader (`records`)."""
