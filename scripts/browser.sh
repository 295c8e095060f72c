#!/usr/bin/env bash
# Makes sure that there is a Chromium for the browser tests; prints where it is. They drive the system's own.
set -euo pipefail

find_chromium() {
    command -v chromium || command -v chromium-browser || command -v google-chrome
}

if find_chromium; then exit 0; fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo --non-interactive true 2>/dev/null; then
        echo "The browser tests need Chromium, and installing it needs root: apt-get install chromium" >&2
        exit 1
    fi
    as_root=(sudo --non-interactive)
fi
if ! command -v apt-get >/dev/null; then
    echo "The browser tests need Chromium; install it with this system's package manager, so that it is on PATH." >&2
    exit 1
fi
echo "Installing Chromium for the browser tests …" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update -qq \
    && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } \
    >"$log" 2>&1; then
    cat "$log" >&2
    echo "Chromium could not be installed with apt-get; the browser tests need it on PATH." >&2
    exit 1
fi
find_chromium
