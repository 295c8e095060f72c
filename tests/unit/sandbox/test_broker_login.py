from __future__ import annotations

from pathlib import Path

import pytest

from pacifictool.local.broker_login import BrokerLogin, write_broker_login

LOGIN = {"security.protocol": "SASL_PLAINTEXT", "sasl.password": "secret"}


@pytest.fixture
def login(tmp_path: Path) -> BrokerLogin:
    write_broker_login(tmp_path / "login.json", 29092, LOGIN)
    return BrokerLogin(tmp_path / "login.json")


def test_producers_log_in_at_the_sandboxs_broker(login: BrokerLogin) -> None:
    for bootstrap in ("localhost:29092", "127.0.0.1:29092", "localhost:29092, 127.0.0.1:29092,"):
        assert login.properties(bootstrap, {}) == LOGIN


@pytest.mark.parametrize(
    "bootstrap",
    ["localhost:9092", "kafka.example:29092", "localhost:29092,kafka.example:29092", "localhost:29092,no name:1", ","],
)
def test_other_brokers_never_see_the_password(login: BrokerLogin, bootstrap: str) -> None:
    assert login.properties(bootstrap, {}) == {}


def test_security_properties_of_the_plugin_take_precedence(login: BrokerLogin) -> None:
    assert login.properties("localhost:29092", {"security.protocol": "PLAINTEXT"}) == {}


def test_without_a_file_there_is_no_login(tmp_path: Path) -> None:
    assert BrokerLogin(tmp_path / "missing").properties("localhost:29092", {}) == {}
    assert BrokerLogin().properties("localhost:29092", {}) == {}
