#!/bin/sh
# From nothing to the first mean on a server of your own, and back. The server is found by pacifictool.toml in this
# folder, or by variables:
#
#   export PACIFICTOOL_URL=https://iot.example.com PACIFICTOOL_MQTT=mqtts://iot.example.com
#   export PACIFICTOOL_KAFKA=kafka.example.com:9092 PACIFICTOOL_USERNAME=tenant@example.com
#   export PACIFICTOOL_PASSWORD            # read it from where it is safe
#   sh examples/real_server.sh
#
# Everything that it makes, it removes again, also when it fails.
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

# 1. Is everything there? (1: something failed; the lines say what, and how to mend it. What is missing because nothing
#    is set up yet is no reason to stop.)
pacifictool doctor || true

# 2. What would be made, and then make it.
pacifictool setup --dry-run
pacifictool setup

# 3. One reading, as far as Kafka.
pacifictool trace --until kafka

# 4. The job, and all three turbines for a minute.
pacifictool aggregate --window "$window" --starting-offsets earliest --checkpoint "$work/job" >"$work/job.log" 2>&1 &
job=$!
pacifictool simulate --duration "${seconds}s"

# 5. One reading all the way to its zone's mean, which also waits until the job has got on.
pacifictool trace --checkpoint "$work/job" --timeout 2m

# 6. What came of it.
pacifictool watch --once --checkpoint "$work/job"
pacifictool report report.html --checkpoint "$work/job"
