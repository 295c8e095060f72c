#!/bin/sh
# From an empty server of your own to the first mean, and back. The server is configured by pacifictool.toml in this
# folder, or by variables:
#
#   export PACIFICTOOL_URL=https://iot.example.com PACIFICTOOL_MQTT=mqtts://iot.example.com
#   export PACIFICTOOL_KAFKA=kafka.example.com:9092 PACIFICTOOL_USERNAME=tenant@example.com
#   export PACIFICTOOL_PASSWORD            # read it from a safe place
#   sh examples/real_server.sh
#
# It removes everything that it creates, also when it fails.
set -eu

window=${WINDOW:-10s}
seconds=${SECONDS_OF_WIND:-60}
work=$(mktemp -d)
job=

finish() {
    status=$?
    trap - EXIT
    if [ -n "$job" ]; then
        kill -INT "$job" 2>/dev/null || true
        wait "$job" || true
    fi
    pacifictool teardown --yes --topic || status=1
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# 1. Check everything. (Exit code 1: a check failed; the lines say which, and the fix. What is missing only because
#    nothing is set up yet is not a reason to stop.)
pacifictool doctor || true

# 2. Show what would be created, then create it.
pacifictool setup --dry-run
pacifictool setup

# 3. One reading, as far as Kafka.
pacifictool trace --until kafka

# 4. The job, and all three turbines for a minute.
pacifictool aggregate --window "$window" --starting-offsets earliest --checkpoint "$work/job" >"$work/job.log" 2>&1 &
job=$!
pacifictool simulate --duration "${seconds}s"

# 5. One reading all the way to its zone's mean, which also waits until the job has caught up.
pacifictool trace --checkpoint "$work/job" --timeout 2m

# 6. The results.
pacifictool watch --once --checkpoint "$work/job"
pacifictool report report.html --checkpoint "$work/job"
