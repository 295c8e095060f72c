from __future__ import annotations

import resource
from pathlib import Path

import pytest

from pacifictool.errors import MqttError
from pacifictool.simulation.limits import ensure_descriptors, ensure_ports


def test_a_sufficient_limit_is_not_changed() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    ensure_descriptors(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_too_few_ports_are_reported_with_the_command_that_adds_some(tmp_path: Path) -> None:
    found = tmp_path / "range"
    found.write_text("32768\t60999\n", encoding="ascii")
    ensure_ports(28_232, found)
    with pytest.raises(MqttError, match=r"as many local ports; the system has 28232 \(32768 to 60999\)") as caught:
        ensure_ports(28_233, found)
    assert 'sysctl -w net.ipv4.ip_local_port_range="1024 65535"' in (caught.value.hint or "")
    with pytest.raises(MqttError) as caught:
        ensure_ports(70_000, found)
    assert "several machines" in (caught.value.hint or "")
    ensure_ports(10**9, tmp_path / "not-linux")
