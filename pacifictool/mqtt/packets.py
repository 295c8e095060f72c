"""The packets of MQTT 3.1.1 that a publishing device needs after its login, encoded and decoded quickly.

paho's client class takes 30 to 100 µs for a message, which limits a fleet at thousands of messages a second. So paho
opens the session (CONNECT, CONNACK, TLS), and then its socket carries the packets of this module. Section numbers are
those of the OASIS standard "MQTT Version 3.1.1".
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Sequence
from typing import Final

PINGREQ: Final = b"\xc0\x00"
DISCONNECT: Final = b"\xe0\x00"

CONNACK_BYTES: Final = 4
CONNACK_HEADER: Final = b"\x20\x02"
"""Two bytes follow: flags, which 1.x sets (docs/servers/1.x.md#mqtt, row 1), and the return code (MQTT 3.1.1, section
3.2.2)."""

MAX_PACKET_ID: Final = 65_535

_PUBACK: Final = 4
_PINGRESP: Final = 13
_PUBACK_BYTES: Final = 4
# The standard's PUBACK, and that of a 1.x server, which sets the flag bits 0010 (docs/servers/1.x.md#mqtt, row 3).
_PUBACK_HEADERS: Final = frozenset({0x4002, 0x4202})
_PUBACK_BYTE_1: Final = b"\x40\x42"
_MAX_LENGTH_BYTES: Final = 4


class PublishEncoder:
    """PUBLISH packets for one topic and QoS; the header that packets of one length share is encoded once."""

    __slots__ = ("_heads", "_qos", "_topic")

    def __init__(self, topic: str, qos: int) -> None:
        encoded = topic.encode()
        self._topic = len(encoded).to_bytes(2) + encoded
        self._qos = qos
        self._heads: dict[int, bytes] = {}

    def encode(self, packet_id: int, payload: bytes) -> bytes:
        """One packet. With QoS 0 `packet_id` is not part of it (MQTT 3.1.1, section 3.3.2.2)."""
        size = len(payload)
        head = self._heads.get(size)
        if head is None:
            head = self._heads[size] = self._head(size)
        return head + packet_id.to_bytes(2) + payload if self._qos else head + payload

    def _head(self, payload_size: int) -> bytes:
        remaining = len(self._topic) + (2 if self._qos else 0) + payload_size
        return bytes([0x30 | self._qos << 1]) + encode_length(remaining) + self._topic


def encode_length(length: int) -> bytes:
    """The "remaining length": seven bits a byte, lowest first (MQTT 3.1.1, section 2.2.3). ValueError beyond 256 MB."""
    if length >= 1 << 7 * _MAX_LENGTH_BYTES:
        raise ValueError(f"a packet of {length} bytes is longer than MQTT allows")
    encoded = bytearray()
    while True:
        length, low = length >> 7, length & 0x7F
        encoded.append(low | (0x80 if length else 0))
        if not length:
            return bytes(encoded)


class AckParser:
    """Parses what a server sends to a publishing client, in pieces of any size: PUBACK and PINGRESP."""

    __slots__ = ("_rest", "broken", "pings")

    def __init__(self) -> None:
        self._rest = b""
        self.broken = False
        """Whether a packet came that MQTT 3.1.1 does not allow to a client that only publishes."""
        self.pings = 0
        """How many PINGRESP have come."""

    def feed(self, data: bytes) -> Sequence[int]:
        """The packet ids that `data` completes, in the order of the PUBACKs. Nothing more once `broken`."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        if len(data) == _PUBACK_BYTES and data[1] == 2 and data[0] in _PUBACK_BYTE_1:
            return (data[2] << 8 | data[3],)  # nearly always, when each of many devices sends little
        if not len(data) % _PUBACK_BYTES:
            # Nearly always a sequence of whole PUBACKs.
            words = array("H", data)
            if sys.byteorder == "little":
                words.byteswap()
            if _PUBACK_HEADERS.issuperset(words[::2]):
                return words[1::2]
        return self._one_by_one(data)

    def _one_by_one(self, data: bytes) -> Sequence[int]:
        packet_ids = []
        at = 0
        while at + 2 <= len(data):
            kind = data[at] >> 4
            length = data[at + 1]
            if kind == _PUBACK and length == 2:
                if at + _PUBACK_BYTES > len(data):
                    break
                packet_ids.append(int.from_bytes(data[at + 2 : at + 4]))
            elif kind == _PINGRESP and length == 0:
                self.pings += 1
            else:
                self.broken = True
                return packet_ids
            at += 2 + length
        self._rest = data[at:]
        return packet_ids
