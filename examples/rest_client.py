"""Uses a Pacificsoft server from Python: an asset, its telemetry and attributes, and the existing devices.

    pacifictool sandbox up          # or have a server of the 1.x generation
    python examples/rest_client.py

The server is configured as for the command line: PACIFICTOOL_URL, PACIFICTOOL_USERNAME, PACIFICTOOL_PASSWORD, or a
pacifictool.toml in this folder. The example deletes what it creates.
"""

from __future__ import annotations

import itertools
import os
import sys
import time
from pathlib import Path

from pacifictool.errors import PacificToolError
from pacifictool.rest import Platform
from pacifictool.settings import Sources, resolve, user_config_file

WINDOW_MS = 10_000


def sources() -> Sources:
    return Sources(
        flags={},
        environ=os.environ,
        folder=Path.cwd(),
        user_file=user_config_file(),
        read_stdin=sys.stdin.read,
    )


def tour(platform: Platform) -> None:
    user = platform.whoami()
    print(
        f"Logged in as {user.email} ({user.authority}) at {platform.url},"
        f" a server of generation {platform.generation()}."
    )

    # Pages are fetched as they are needed, so this fetches no more than it shows.
    for device in itertools.islice(platform.devices.list(), 3):
        print(f"Device {device.name!r} of type {device.type!r}")

    zone = platform.assets.get_or_create("Example Zone", "WeatherStation")
    try:
        now_ms = int(time.time() * 1000)
        window_end_ms = now_ms - now_ms % WINDOW_MS
        means = [31.5, 40.25, 45.0]
        ends = [window_end_ms - WINDOW_MS * (len(means) - 1 - number) for number in range(len(means))]
        platform.telemetry.write(zone, [(end, {"windSpeed": mean}) for end, mean in zip(ends, means, strict=True)])

        for point in platform.telemetry.range(zone, "windSpeed", ends[0], ends[-1] + 1):
            print(f"{point.ts_ms}: {point.value} m/s")
        latest = platform.telemetry.latest(zone, ["windSpeed", "temperature"])
        print(f"Latest wind speed: {latest['windSpeed']}, latest temperature: {latest['temperature']}")

        platform.attributes.set_server(zone, {"latitude": 37.8, "staffed": False})
        print(f"Attributes: {platform.attributes.get(zone)}")
    finally:
        platform.assets.delete(zone.id)


def main() -> int:
    try:
        with Platform.connect(resolve(sources())) as platform:
            tour(platform)
    except PacificToolError as error:
        print(error.message, error.hint or "", sep="\n", file=sys.stderr)
        return int(error.exit_code)
    return 0


if __name__ == "__main__":
    sys.exit(main())
