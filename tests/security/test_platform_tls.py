"""https and mqtts, from the command line to a sandbox behind a TLS listener."""

from __future__ import annotations

import itertools
import json
import ssl
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pacifictool.local.launcher import SandboxProcess
from pacifictool.settings import TlsFiles
from tests.support.command_line import CommandLine, Outcome
from tests.support.sandbox_clients import Tenant
from tests.support.tls import Pki, TlsFront

NO_FILES = TlsFiles()
_numbers = itertools.count(1)


class Platform:
    """A sandbox whose two ports can only be reached through TLS."""

    def __init__(self, rest: TlsFront, mqtt: TlsFront, command_line: CommandLine) -> None:
        self.rest, self.mqtt = rest, mqtt
        self._command_line = command_line

    def run(self, *arguments: str, tls: TlsFiles = NO_FILES, environ: dict[str, str] | None = None) -> Outcome:
        for option, path in (("ca", tls.ca_file), ("cert", tls.cert_file), ("key", tls.key_file)):
            arguments += () if path is None else (f"--{option}-file", str(path))
        return self._command_line(
            *arguments,
            *("--url", f"https://127.0.0.1:{self.rest.port}"),
            *("--mqtt", f"mqtts://127.0.0.1:{self.mqtt.port}"),
            environ=environ,
        )


@contextmanager
def fronted(sandbox: SandboxProcess, context: ssl.SSLContext, command_line: CommandLine) -> Iterator[Platform]:
    with TlsFront(context, sandbox.http_port) as rest, TlsFront(context, sandbox.mqtt_port) as mqtt:
        yield Platform(rest, mqtt, command_line)


@pytest.fixture
def device(tenant: Tenant) -> tuple[str, str]:
    """A device's name and its token."""
    name = f"Turbine of TLS {next(_numbers)}"
    _, token = tenant.device(name)
    return name, token


def refusal(outcome: Outcome) -> str:
    """The sentence, the hint and the link with which a command failed."""
    assert outcome.code == 1
    lines = outcome.stderr.splitlines()
    place = next(number for number, line in enumerate(lines) if line.startswith("Error: "))
    assert len(lines) == place + 3, outcome.stderr
    assert "Traceback" not in outcome.stderr
    return "\n".join(lines[place:])


def simulate(platform: Platform, name: str, tmp_path: Path, tls: TlsFiles, *more: str) -> Outcome:
    scenario = tmp_path / "one.toml"
    scenario.write_text(
        '[forwarding]\ntopic = "winds"\nattributes = ["geoZone"]\ntelemetry = ["windSpeed"]\n'
        f'[[devices]]\nname = "{name}"\nrate = 50\nattributes = {{ geoZone = "Z" }}\n'
        "telemetry = { windSpeed = { min = 1, max = 2 } }\n"
    )
    return platform.run("simulate", "-s", str(scenario), "--count", "5", "-o", "json", *more, tls=tls)


def test_a_private_authority_is_enough_for_rest_and_mqtt(
    sandbox: SandboxProcess,
    tenant: Tenant,
    device: tuple[str, str],
    pki: Pki,
    command_line: CommandLine,
    tmp_path: Path,
) -> None:
    name, token = device
    trusting = TlsFiles(pki.ca_file)
    with fronted(sandbox, pki.server_context(), command_line) as platform:
        assert platform.run("device", "token", name, tls=trusting).stdout.strip() == token
        assert platform.run("attributes", "set", name, "geoZone=Zone T", tls=trusting).code == 0
        summary = simulate(platform, name, tmp_path, trusting)
        assert (summary.code, summary.document["acknowledged"]) == (0, 5), summary
        assert platform.rest.passed_in >= 3
        assert platform.mqtt.passed_in == 2
        environ = {"PACIFICTOOL_CA_FILE": str(pki.ca_file)}
        shown = platform.run("attributes", "show", name, "-o", "json", environ=environ)
        assert "Zone T" in json.dumps(shown.document)


def test_a_server_that_wants_our_certificate_gets_it(
    sandbox: SandboxProcess,
    device: tuple[str, str],
    pki: Pki,
    strangers: Pki,
    command_line: CommandLine,
    tmp_path: Path,
) -> None:
    name, token = device
    known, unknown = pki.client("operator.example"), strangers.client("stranger.example")
    assert known.key_file is not None
    assert known.cert_file is not None
    both = tmp_path / "both.pem"
    both.write_bytes(known.cert_file.read_bytes() + known.key_file.read_bytes())
    with fronted(sandbox, pki.server_context(asks_for_certificate=True), command_line) as platform:
        for files in (known, TlsFiles(pki.ca_file, both)):
            assert platform.run("device", "token", name, tls=files).stdout.strip() == token
            assert simulate(platform, name, tmp_path, files).code == 0
        inside = platform.rest.passed_in, platform.mqtt.passed_in
        for files in (TlsFiles(pki.ca_file), TlsFiles(pki.ca_file, unknown.cert_file, unknown.key_file)):
            over_rest = refusal(platform.run("device", "token", name, tls=files))
            over_mqtt = refusal(simulate(platform, name, tmp_path, files, "--token", token))
            assert f"https://127.0.0.1:{platform.rest.port}" in over_rest
            assert f"mqtts://127.0.0.1:{platform.mqtt.port}" in over_mqtt
            assert "--cert-file" in over_rest
            assert "--cert-file" in over_mqtt
        assert (platform.rest.passed_in, platform.mqtt.passed_in) == inside


@pytest.mark.parametrize("fault", ["unknown authority", "another name", "expired"])
def test_a_certificate_that_proves_nothing_is_refused(
    sandbox: SandboxProcess, device: tuple[str, str], pki: Pki, strangers: Pki, command_line: CommandLine, fault: str
) -> None:
    name, token = device
    context = {
        "unknown authority": strangers.server_context(),
        "another name": pki.server_context(pki.issue("platform.example")),
        "expired": pki.server_context(pki.issue(is_expired=True)),
    }[fault]
    words = {
        "unknown authority": "not issued by an authority that is trusted here",
        "another name": "issued for another name than 127.0.0.1",
        "expired": "has expired",
    }[fault]
    # REST through the plain port, so that only MQTT sees the certificate.
    plain = {"PACIFICTOOL_URL": sandbox.url}
    with fronted(sandbox, context, command_line) as platform:
        over_rest = refusal(platform.run("asset", "list", tls=TlsFiles(pki.ca_file)))
        over_mqtt = refusal(
            command_line(
                *("attributes", "set", name, "a=1", "--ca-file", str(pki.ca_file)),
                *("--mqtt", f"mqtts://127.0.0.1:{platform.mqtt.port}"),
                environ=plain,
            )
        )
        assert platform.rest.passed_in == platform.mqtt.passed_in == 0
    for message, address in (
        (over_rest, f"https://127.0.0.1:{platform.rest.port}"),
        (over_mqtt, str(platform.mqtt.port)),
    ):
        assert words in message, message
        assert address in message
        assert token not in message
    if fault == "unknown authority":
        assert "--ca-file" in over_rest
        assert "--ca-file" in over_mqtt


def test_nothing_is_trusted_by_default_but_the_systems_authorities(
    sandbox: SandboxProcess, pki: Pki, command_line: CommandLine
) -> None:
    with fronted(sandbox, pki.server_context(), command_line) as platform:
        assert "not issued by an authority that is trusted here" in refusal(platform.run("asset", "list"))
        assert platform.rest.passed_in == 0


def test_no_password_leaves_before_the_certificate_is_checked_nor_shows_with_debug(
    sandbox: SandboxProcess, strangers: Pki, pki: Pki, command_line: CommandLine
) -> None:
    environ = {"PACIFICTOOL_PASSWORD": "a-password-for-the-right-server-only"}
    with fronted(sandbox, strangers.server_context(), command_line) as platform:
        for debug in ((), ("--debug",)):
            outcome = platform.run("asset", "list", *debug, tls=TlsFiles(pki.ca_file), environ=environ)
            assert outcome.code == 1
            assert environ["PACIFICTOOL_PASSWORD"] not in outcome.stdout + outcome.stderr
        assert platform.rest.passed_in == 0


@pytest.mark.parametrize("protocol", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_protocols_of_yesterday_are_not_spoken(
    sandbox: SandboxProcess, pki: Pki, command_line: CommandLine, protocol: ssl.TLSVersion
) -> None:
    context = pki.server_context()
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # which is the point
        context.minimum_version = protocol
        context.maximum_version = protocol
    with fronted(sandbox, context, command_line) as platform:
        message = refusal(platform.run("asset", "list", tls=TlsFiles(pki.ca_file)))
        assert "No TLS connection" in message
        assert platform.rest.passed_in == 0
