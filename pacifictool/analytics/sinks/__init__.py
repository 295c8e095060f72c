"""Where window means go. `base` holds the contract; `registry` knows every way out by name."""

from pacifictool.analytics.sinks.base import DeliveryCallback, Sink, by_entity
from pacifictool.analytics.sinks.console import ConsoleSink

__all__ = ["ConsoleSink", "DeliveryCallback", "Sink", "by_entity"]
