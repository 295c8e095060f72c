"""How long the hops of a trace may take."""

from __future__ import annotations

from pacifictool.trace.trace import HopTimeouts


def test_a_platform_that_responds_late_gets_as_much_more_time() -> None:
    usual = HopTimeouts()
    slow = usual.of_slow_server(7.0)
    assert (slow.connect, slow.acknowledge, slow.store) == (usual.connect + 7, usual.acknowledge + 7, usual.store + 7)
    assert (slow.forward, slow.deliver) == (usual.forward + 7, usual.deliver + 7)
    assert usual.of_slow_server(1000).store == usual.store + 30
