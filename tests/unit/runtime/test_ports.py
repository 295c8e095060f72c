from __future__ import annotations

import socket

import pytest

from pacifictool.errors import PortInUse
from pacifictool.runtime.ports import check_port_free, free_port, free_ports


def test_free_ports_are_different_and_can_be_listened_on() -> None:
    ports = free_ports(20)
    assert len(set(ports)) == 20
    for port in ports:
        check_port_free(port, "a test")


def test_a_taken_port_is_named_with_what_wanted_it() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortInUse) as caught:
            check_port_free(port, "the Kafka broker")
    assert f"Port {port} for the Kafka broker" in caught.value.message
    assert caught.value.details["port"] == port


def test_a_port_that_was_just_closed_counts_as_free() -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", port)) as server, socket.create_connection(("127.0.0.1", port)):
        accepted, _ = server.accept()
        # The side that closes first keeps the port in TIME_WAIT.
        accepted.close()
    check_port_free(port, "a test")
