from __future__ import annotations

import resource
from pathlib import Path

import pytest

from pacifictool.errors import MqttError, UsageError
from pacifictool.simulation.limits import ensure_descriptors, ensure_ports


def test_a_sufficient_limit_is_not_changed() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    ensure_descriptors(1)
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == before


def test_too_few_ports_are_reported_with_the_command_that_adds_some(tmp_path: Path) -> None:
    found = tmp_path / "range"
    found.write_text("32768\t60999\n", encoding="ascii")
    ensure_ports(28_232, range_file=found)
    with pytest.raises(MqttError, match=r"as many local ports; the system has 28232 \(32768 to 60999\)") as caught:
        ensure_ports(28_233, range_file=found)
    assert 'sysctl -w net.ipv4.ip_local_port_range="1024 65535"' in (caught.value.hint or "")
    with pytest.raises(MqttError) as caught:
        ensure_ports(70_000, range_file=found)
    assert "several machines" in (caught.value.hint or "")
    ensure_ports(10**9, range_file=tmp_path / "not-linux")


def test_each_source_address_has_ports_of_its_own(tmp_path: Path) -> None:
    found = tmp_path / "range"
    found.write_text("32768\t60999\n", encoding="ascii")
    ensure_ports(2 * 28_232, ["127.0.0.1", "127.0.0.2"], found)
    with pytest.raises(MqttError, match=r"the system has 56464 \(32768 to 60999 for each of 2 addresses\)"):
        ensure_ports(2 * 28_232 + 1, ["127.0.0.1", "127.0.0.2"], found)
    with pytest.raises(MqttError) as caught:
        ensure_ports(200_000, ["127.0.0.1", "127.0.0.2"], found)
    assert "--source-address" in (caught.value.hint or "")


@pytest.mark.parametrize("address", ["192.0.2.1", "2001:db8::1", "nowhere"])
def test_a_source_address_of_another_machine_is_refused(address: str) -> None:
    with pytest.raises(UsageError, match=f"'{address}' is not an IP address of this machine"):
        ensure_ports(1, [address])
