#!/usr/bin/env bash
# Makes sure that a tool of the system is there, which tests need; prints where it is.
# Usage: system_tool.sh PACKAGE COMMAND [OTHER NAME OF THE COMMAND …]
set -euo pipefail

package=$1
shift

find_tool() {
    local name
    for name in "$@"; do
        if command -v "$name"; then return 0; fi
    done
    return 1
}

if find_tool "$@"; then exit 0; fi

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null || ! sudo --non-interactive true 2>/dev/null; then
        echo "The tests need $package, and installing it needs root: apt-get install $package" >&2
        exit 1
    fi
    as_root=(sudo --non-interactive)
fi
if ! command -v apt-get >/dev/null; then
    echo "The tests need $package; install it with this system's package manager, so that it is on PATH." >&2
    exit 1
fi
echo "Installing $package for the tests …" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
if ! { "${as_root[@]}" apt-get update -qq \
    && "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package"; } \
    >"$log" 2>&1; then
    cat "$log" >&2
    echo "$package could not be installed with apt-get; the tests need it on PATH." >&2
    exit 1
fi
find_tool "$@"
