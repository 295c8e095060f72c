"""What `python -m pacifictool.sandbox` runs: the sandbox's server, with the toolkit's checks of who connects.

`launcher` starts it as a process of its own.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import os
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from starlette.types import ASGIApp

from pacifictool.display import one_line
from pacifictool.errors import PacificToolError
from pacifictool.local.broker_login import BrokerLogin
from pacifictool.local.launcher import claim_folder
from pacifictool.local.page import PageReference, WithPage
from pacifictool.private_files import write_private
from pacifictool.runtime.guarded_http import guarded_http
from pacifictool.runtime.local_requests import LocalRequestsOnly
from pacifictool.runtime.peer import PeerCheck
from pacifictool.sandbox.faults import Faults, Rate
from pacifictool.sandbox.server import GENERATIONS, SandboxConfig, serve

_log = logging.getLogger("pacifictool.sandbox")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m pacifictool.sandbox", description="A local platform.")
    parser.add_argument(
        "--data", type=Path, required=True, metavar="DIR", help="folder of the database and signing key"
    )
    parser.add_argument("--http-port", type=int, default=8080, metavar="N", help="0: any free one")
    parser.add_argument("--mqtt-port", type=int, default=1883, metavar="N", help="0: any free one")
    parser.add_argument(
        "--ready-file",
        type=Path,
        metavar="FILE",
        help="written when both ports accept connections; errors are then printed as JSON",
    )
    parser.add_argument("--generation", type=int, choices=GENERATIONS, default=1, help="1: like 1.x servers; 4: 4.x")
    parser.add_argument("--page", metavar="MODULE:FUNCTION", help="the page at GET /; see pacifictool.local.page")
    parser.add_argument("--page-options", type=Path, metavar="FILE", help="the page's options, as JSON")
    parser.add_argument("--broker-login", type=Path, metavar="FILE", help="login of plugins at the sandbox's broker")
    parser.add_argument("--share", action="store_true", help="admit all users of this machine")
    # For tests of clients; docs/sandbox.md describes them.
    for option, default in (
        ("--access-token-seconds", None),
        ("--refresh-token-seconds", None),
        ("--rest-latency-seconds", 0.0),
        ("--rest-failing-share", 0.0),
        ("--telemetry-latency-seconds", 0.0),
        ("--queue-seconds", 0.0),
    ):
        parser.add_argument(option, type=float, default=default, help=argparse.SUPPRESS)
    for option in ("--rest-rate-limit", "--device-rate-limit"):
        parser.add_argument(option, type=Rate.parse, metavar="COUNT:SECONDS", help=argparse.SUPPRESS)
    parser.add_argument("--max-devices", type=int, default=0, help=argparse.SUPPRESS)
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Serves until a signal; returns the exit code."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if (options.page is None) != (options.page_options is None):
        parser.error("--page and --page-options go together")
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    page = None if options.page is None else PageReference(options.page, options.page_options)
    check = None if options.share else PeerCheck("the sandbox", _log.warning)
    try:
        claim_folder(options.data)
        serve(
            SandboxConfig(
                data_dir=options.data,
                http_port=options.http_port,
                mqtt_port=options.mqtt_port,
                generation=options.generation,
                http_protocol=guarded_http(check),
                admits=None if check is None else check.admits,
                wrap=partial(_wrapped, page=page),
                announce=partial(_ready_file, options.ready_file),
                login=BrokerLogin(options.broker_login).properties,
                access_token_seconds=options.access_token_seconds,
                refresh_token_seconds=options.refresh_token_seconds,
                faults=Faults(
                    latency_seconds=options.rest_latency_seconds,
                    failing_share=options.rest_failing_share,
                    telemetry_latency_seconds=options.telemetry_latency_seconds,
                    queue_seconds=options.queue_seconds,
                    rest_rate=options.rest_rate_limit,
                    device_rate=options.device_rate_limit,
                    max_devices=options.max_devices,
                ),
            )
        )
    except PacificToolError as error:
        if options.ready_file is None:
            sys.stderr.write(f"{one_line(error.message)}\n{one_line(error.hint or '')}\n")
        else:
            # `launcher` reads it: one line, as JSON escapes every line break.
            sys.stderr.write(json.dumps(error.as_document()) + "\n")
        return int(error.exit_code)
    return 0


def _wrapped(application: ASGIApp, url: str, *, page: PageReference | None) -> ASGIApp:
    return LocalRequestsOnly(application if page is None else WithPage(application, page, url))


@contextlib.contextmanager
def _ready_file(path: Path | None, http_port: int, mqtt_port: int) -> Iterator[None]:
    """Within, `path` has both ports and the process id."""
    if path is None:
        yield
        return
    try:
        write_private(path, json.dumps({"http_port": http_port, "mqtt_port": mqtt_port, "pid": os.getpid()}))
        yield
    finally:
        path.unlink(missing_ok=True)
