"""What a device needs from the fleet that it belongs to."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from pacifictool.errors import MqttError
from pacifictool.mqtt.packets import PublishEncoder
from pacifictool.settings import MqttEndpoint
from pacifictool.simulation.loop import EventLoop
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.reading import Outcome, Reading
from pacifictool.simulation.summary import Counters
from pacifictool.simulation.suspicion import Suspicion

if TYPE_CHECKING:
    from pacifictool.simulation.device import Device


class Owner(Protocol):
    """The fleet, as a device sees it."""

    endpoint: MqttEndpoint
    options: FleetOptions
    counters: Counters
    loop: EventLoop
    encoder: PublishEncoder

    def connect(self, device: Device) -> None:
        """Has a connection opened; `Device.connected` or `Device.connect_failed` will be called."""

    def connect_failed(self, device: Device, error: MqttError) -> None:
        """There is no session, for a reason that may pass."""

    def accepted(self, device: Device) -> None:
        """The device has a session."""

    def refused(self, device: Device, error: MqttError) -> None:
        """The platform refuses the device, or what it sends."""

    def interrupted(self, device: Device, suspicion: Suspicion) -> None:
        """The platform ends the device's sessions again and again, for the reason that is suspected."""

    def room(self) -> int:
        """How many further readings may be on their way; 0 or less: none."""

    def wait_for_room(self, device: Device) -> None:
        """Has `device` served when there is room again, after those that wait already."""

    def delivered(self, readings: Sequence[Reading], outcome: Outcome) -> None:
        """The way of these readings has ended well."""

    def lost(self, reading: Reading, reason: str) -> None:
        """The way of a reading has ended badly."""
