#!/bin/sh
# The tutorial step by step, on the server that PACIFICTOOL_URL, PACIFICTOOL_MQTT and PACIFICTOOL_KAFKA name.
#
#   pacifictool sandbox up        # if you have no server
#   sh examples/tutorial.sh       # about two minutes; PHASE=10s WINDOW=2s is quicker
#
# It removes everything that it creates, also when it fails.
set -eu

phase=${PHASE:-30s}    # how long the turbines run in each phase
window=${WINDOW:-10s}  # length of a window
work=$(mktemp -d)

finish() {
    status=$?
    trap - EXIT
    pacifictool teardown --yes --topic || status=1
    rm -rf "$work"
    exit "$status"
}
trap finish EXIT
trap 'exit 130' INT TERM

# Topic, plugin, rule, three devices with their client attributes, and the asset Zone A. A second run changes nothing.
pacifictool setup
pacifictool setup

# Turbine 1 alone: Zone A's mean is about 32.5. With turbine 2 it is about 40. Turbine 3 is in Zone B: about 45.
pacifictool simulate --device "Wind Turbine 1" --duration "$phase"
pacifictool simulate --device "Wind Turbine 1" --device "Wind Turbine 2" --duration "$phase"
pacifictool simulate --all --duration "$phase"

# Averages the records in the topic and posts the means to the assets; the job creates the asset Zone B. Without
# --available-now it would run until Ctrl-C and process new readings as they arrive.
pacifictool aggregate --window "$window" --starting-offsets earliest --available-now --checkpoint "$work/job"
pacifictool rejects --checkpoint "$work/job"
pacifictool asset list --type WeatherStation
