"""The server behind `--metrics`: who is served, and what probes get."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

import pytest
import requests
from prometheus_client.core import GaugeMetricFamily, Metric

from pacifictool.errors import ExitCode, PortInUse, UsageError
from pacifictool.runtime import peer as whose
from pacifictool.runtime.metrics_server import listening_address, metrics_endpoint


def seven() -> Iterable[Metric]:
    yield GaugeMetricFamily("seven", "A number", 7)


def get(url: str) -> tuple[int, str]:
    response = requests.get(url, timeout=60)
    return response.status_code, response.text


def test_metrics_come_with_the_numbers_of_the_process() -> None:
    with metrics_endpoint(seven, 0) as url:
        code, text = get(f"{url}/metrics")
        assert (code, "seven 7.0" in text, "process_open_fds" in text) == (200, True, True)
        assert get(f"{url}/")[0] == 404
    with pytest.raises(requests.ConnectionError):
        get(f"{url}/metrics")


def test_a_probe_gets_one_sentence() -> None:
    problems: dict[str, str | None] = {"health": None, "hang": None}
    with metrics_endpoint(seven, 0, health=lambda: problems["health"], hang=lambda: problems["hang"]) as url:
        assert get(f"{url}/health") == get(f"{url}/live") == (200, "ok\n")
        problems["health"] = "Kafka is\naway."
        assert get(f"{url}/health") == (503, "Kafka is\\naway.\n")
        assert get(f"{url}/live") == (200, "ok\n")
        problems["hang"] = "A batch does not end."
        assert get(f"{url}/live") == (503, "A batch does not end.\n")


def test_a_port_that_is_taken_is_reported_in_one_sentence() -> None:
    with metrics_endpoint(seven, 0) as url:
        port = urlsplit(url).port or 0
        with pytest.raises(PortInUse, match=f"^Port {port} for the metrics is already in use.$") as caught:
            metrics_endpoint(seven, port).__enter__()
    assert "--metrics" in (caught.value.hint or "")
    assert caught.value.exit_code == ExitCode.FAILED
    with pytest.raises(UsageError, match=r"--metrics: cannot listen on 192\.0\.2\.1"):
        metrics_endpoint(seven, 0, "192.0.2.1").__enter__()


def test_other_users_of_the_machine_are_refused_unless_everybody_was_meant(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whose, "IS_CHECKED", True)
    monkeypatch.setattr(whose, "peer_uid", lambda *_: 54321)
    warnings: list[str] = []
    with metrics_endpoint(seven, 0, warn=warnings.append) as url:
        assert get(f"{url}/metrics")[0] == get(f"{url}/health")[0] == 403
    assert len(warnings) == 1
    with metrics_endpoint(seven, 0, "0.0.0.0", warn=warnings.append) as url:
        assert get(f"http://127.0.0.1:{urlsplit(url).port}/metrics")[0] == 200
    assert len(warnings) == 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("9100", ("127.0.0.1", 9100)),
        ("0.0.0.0:0", ("0.0.0.0", 0)),
        ("[::1]:9100", ("::1", 9100)),
        (":9100", ("127.0.0.1", 9100)),
    ],
)
def test_addresses(text: str, expected: tuple[str, int]) -> None:
    assert listening_address(text) == expected


@pytest.mark.parametrize("text", ["", "x", "127.0.0.1", "70000", "1:٣"])
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not a port"):
        listening_address(text)
