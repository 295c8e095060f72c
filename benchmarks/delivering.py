"""How soon 10,000 means are on the platform, against as many requests by a loop that does nothing else.

The loop is the ceiling of a server: requests that are ready beforehand, kept connections, more of them until it gets no
faster; of a response only the status is read. It runs in a process of its own, as a server's clients do.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from benchmarks.rounds import middle  # noqa: E402 - also run as a script
from benchmarks.sinks import deliver, options_for, window  # noqa: E402
from pacifictool.local.launcher import SandboxProcess  # noqa: E402
from pacifictool.rest.entities import telemetry_path  # noqa: E402

SERVERS = {
    "1.x": ("--generation", "1"),
    "4.x": ("--generation", "4", "--telemetry-latency-seconds", "0.1"),
}
"""A 4.x server takes 100 ms for a write over REST (docs/servers/4.x.md#telemetry-over-rest, row 2)."""
CONNECTIONS = {"1.x": (8, 32), "4.x": (64, 256)}


def measure_delivery(means: int, repetitions: int) -> dict[str, Any]:
    """By generation: means per second of the REST sink and of the loop, by turns, and their quotient."""
    return {"means": means, **{name: _generation(name, means, repetitions) for name in SERVERS}}


def _generation(name: str, means: int, repetitions: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="bench-delivery-") as folder:
        sandbox = SandboxProcess(Path(folder) / "platform", options=SERVERS[name])
        sandbox.start()
        try:
            options = options_for(sandbox, Path(folder))
            # The first window creates the assets. Then all is there, for both.
            new = deliver("rest", options, [window(1, means)])[0]["seconds"]
            with options.connect() as platform:
                paths = [f"{telemetry_path(asset)}/timeseries/ANY" for asset in platform.assets.list()]
            ours, after_start, ceilings = [], [], []
            for repetition in range(repetitions):
                windows = [window(2 + 2 * repetition + each, means) for each in range(2)]
                # In its first window, a sink that has just started looks up every asset.
                first, later = (measured["seconds"] for measured in deliver("rest", options, windows))
                ours.append(means / later)
                after_start.append(means / first)
                ceilings.append(max(_ceiling(sandbox.url, paths, each) for each in CONNECTIONS[name]))
        finally:
            sandbox.stop()
    return {
        "per_second": middle(ours),
        "after_start_per_second": middle(after_start),
        "ceiling_per_second": middle(ceilings),
        "to_ceiling": middle([one / other for one, other in zip(ours, ceilings, strict=True)]),
        "new_entities_seconds": new,
    }


def _ceiling(url: str, paths: list[str], connections: int) -> float:
    """Requests per second of the loop."""
    argument = json.dumps({"url": url, "connections": connections})
    done = subprocess.run(
        [sys.executable, __file__, argument],
        input=json.dumps(paths),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=120,
    )
    return float(json.loads(done.stdout))


async def _post_all(url: str, paths: list[str], connections: int) -> float:
    where = urlsplit(url)
    token = await asyncio.to_thread(_token, url)
    end = round(time.time() * 1000)
    requests = iter(
        [
            f"POST {path} HTTP/1.1\r\nHost: {where.netloc}\r\nX-Authorization: Bearer {token}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()
            for number, path in enumerate(paths)
            if (body := f'{{"ts":{end},"values":{{"windSpeed":{30 + number / 7}}}}}')
        ]
    )
    pairs = [await asyncio.open_connection(where.hostname, where.port) for _ in range(connections)]
    began = time.perf_counter()
    await asyncio.gather(*(_post(reader, writer, requests) for reader, writer in pairs))
    seconds = time.perf_counter() - began
    for _, writer in pairs:
        writer.close()
    return len(paths) / seconds


async def _post(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, requests: Iterator[bytes]) -> None:
    for request in requests:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise SystemExit(f"The server refused a request: {head[:60]!r}")
        length = head.lower().partition(b"content-length:")[2].split(b"\r\n")[0]
        await reader.readexactly(int(length or 0))


def _token(url: str) -> str:
    import requests

    body = {"username": "tenant@thingsboard.org", "password": "tenant"}
    return str(requests.post(f"{url}/api/auth/login", json=body, timeout=30).json()["token"])


def main() -> None:
    argument = json.loads(sys.argv[1])
    paths = json.loads(sys.stdin.read())
    print(asyncio.run(_post_all(argument["url"], paths, argument["connections"])))


if __name__ == "__main__":
    main()
