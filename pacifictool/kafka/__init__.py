"""Kafka from the client side: properties (`config`), topics (`topics`), a bounded reader (`records`)."""
