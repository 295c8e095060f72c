#!/usr/bin/env bash
# Puts one program of a system package into a folder of the checkout, for tests; nothing is installed, and no service starts.
# Usage: unpack_tool.sh PACKAGE PATH_IN_PACKAGE FOLDER
set -euo pipefail

package=$1
program=$2
folder=$3
name=$(basename "$program")

if command -v "$name" >/dev/null || [ -x "$folder/$name" ]; then exit 0; fi
if ! command -v apt-get >/dev/null; then
    echo "The tests need $name; install $package with this system's package manager, so that it is on PATH." >&2
    exit 1
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fetch() { (cd "$work" && apt-get download -qq "$package") >"$work/log" 2>&1; }
update() { [ "$(id -u)" -eq 0 ] && apt-get update -qq || sudo --non-interactive apt-get update -qq; }
if ! { fetch || { update >"$work/log" 2>&1 && fetch; }; }; then
    cat "$work/log" >&2
    echo "$package could not be fetched with apt-get; the tests need $name on PATH." >&2
    exit 1
fi
dpkg-deb -x "$work"/*.deb "$work/content"
mkdir -p "$folder"
mv "$work/content/$program" "$folder/$name"
