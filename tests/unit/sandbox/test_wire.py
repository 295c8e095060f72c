from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pacifictool.sandbox.mqtt import wire
from tests.support.sandbox_clients import connect_packet

LIMIT = 1000


@given(st.lists(st.binary(max_size=300), max_size=8), st.lists(st.integers(1, 50), max_size=60))
def test_packets_are_the_same_however_the_stream_is_cut(payloads: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(wire.publish_packet("t", payload, 1, 5) for payload in payloads)
    found, rest = [], b""
    for cut in [*cuts, len(stream)]:
        packets, rest = wire.split(rest + stream[:cut], LIMIT)
        stream = stream[cut:]
        found += packets
    assert [wire.parse_publish(*packet) for packet in found] == [("t", payload, 1, 5) for payload in payloads]
    assert rest == b""


def test_lengths_of_all_sizes_are_read() -> None:
    for size in (0, 1, 120, 127, 128, 16_383, 16_384, 60_000):
        ((first, body),), rest = wire.split(wire.publish_packet("t", b"x" * size, 0, 0), 70_000)
        assert wire.parse_publish(first, body) == ("t", b"x" * size, 0, 0)
        assert rest == b""


def test_a_long_packet_is_refused_from_its_header() -> None:
    with pytest.raises(wire.ProtocolError, match="the limit is 1000"):
        wire.split(b"\x30\xe9\x07", LIMIT)
    with pytest.raises(wire.ProtocolError, match="remaining length"):
        wire.split(b"\x30\xff\xff\xff\xff\x01", LIMIT)
    assert wire.split(b"\x30\xe8\x07", LIMIT) == ([], b"\x30\xe8\x07")


def test_connect_packets_of_3_1_and_3_1_1_are_read_and_others_refused() -> None:
    for level in (3, 4):
        packet = connect_packet("token", level=level, client_id="me", keep_alive_seconds=7, is_clean=False)
        assert wire.parse_connect(packet[2:]) == wire.Connect(level, "me", "token", 7, is_clean=False)
    assert wire.parse_connect(connect_packet(None)[2:]).username is None
    with pytest.raises(wire.ProtocolError, match="level 5"):
        wire.parse_connect(connect_packet("token", level=5)[2:])


@given(st.integers(0, 15), st.binary(max_size=60))
def test_garbage_is_refused_and_never_crashes(flags: int, body: bytes) -> None:
    for parse in (
        lambda: wire.parse_connect(body),
        lambda: wire.parse_publish(wire.PUBLISH | flags, body),
        lambda: wire.parse_subscribe(wire.SUBSCRIBE | flags, body),
        lambda: wire.parse_unsubscribe(wire.UNSUBSCRIBE | flags, body),
        lambda: wire.split(body, 20),
    ):
        try:
            parse()
        except wire.ProtocolError:
            continue
