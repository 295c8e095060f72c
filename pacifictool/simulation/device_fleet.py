"""What a simulated device and its fleet know of each other."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum, auto
from typing import Protocol, TypeVar

from pacifictool.errors import MqttError
from pacifictool.mqtt.packets import PublishEncoder
from pacifictool.settings import MqttEndpoint
from pacifictool.simulation.disconnects import DisconnectCause
from pacifictool.simulation.flow_control import FlowControl
from pacifictool.simulation.loop import EventLoop
from pacifictool.simulation.options import FleetOptions
from pacifictool.simulation.reading import Outcome, Reading
from pacifictool.simulation.summary import FleetCounters

Device_contra = TypeVar("Device_contra", contravariant=True)


class DeviceState(Enum):
    """The state of a device."""

    OFFLINE = auto()
    CONNECTING = auto()
    LOGIN = auto()
    ONLINE = auto()
    ENDED = auto()


class DeviceFleet(Protocol[Device_contra]):
    """The fleet, as its devices see it."""

    endpoint: MqttEndpoint
    options: FleetOptions
    counters: FleetCounters
    loop: EventLoop
    encoder: PublishEncoder
    flow: FlowControl

    def connect(self, device: Device_contra) -> None:
        """Opens a connection; its `connected` or `connect_failed` will be called."""

    def connect_failed(self, device: Device_contra, error: MqttError) -> None:
        """There is no session, for a reason that may be temporary."""

    def accepted(self, device: Device_contra) -> None:
        """The device has a session."""

    def refused(self, device: Device_contra, error: MqttError) -> None:
        """The platform refuses the device, or what it sends."""

    def interrupted(self, device: Device_contra, cause: DisconnectCause) -> None:
        """The platform ends the device's sessions again and again; `cause` is the likely reason."""

    def room(self) -> int:
        """How many further readings may be in flight; 0 or less: none."""

    def wait_for_room(self, device: Device_contra) -> None:
        """Runs `device` when there is room again, after those that already wait."""

    def delivered(self, readings: Sequence[Reading], outcome: Outcome) -> None:
        """These readings were delivered."""

    def lost(self, reading: Reading, reason: str) -> None:
        """A reading was lost."""
