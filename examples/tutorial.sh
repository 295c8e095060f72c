#!/bin/sh
# The tutorial step by step, on the server that PACIFICTOOL_URL, PACIFICTOOL_MQTT and PACIFICTOOL_KAFKA name.
#
#   pacifictool sandbox up        # when there is no server at hand
#   sh examples/tutorial.sh       # about two minutes; PHASE=10s WINDOW=2s is quicker
#
# Everything that it makes, it removes again, also when it fails.
set -eu

phase=${PHASE:-30s}    # how long the turbines turn in each phase
window=${WINDOW:-10s}  # over how long means are taken
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

# Turbine 1 alone: Zone A's mean is about 32.5. With turbine 2 it is about 40. Turbine 3 stands in Zone B: about 45.
pacifictool simulate --device "Wind Turbine 1" --duration "$phase"
pacifictool simulate --device "Wind Turbine 1" --device "Wind Turbine 2" --duration "$phase"
pacifictool simulate --all --duration "$phase"

# What the topic holds, averaged and posted to the assets; the job creates the asset Zone B. Without --available-now it
# would go on until Ctrl-C, with new readings as they come.
pacifictool aggregate --window "$window" --starting-offsets earliest --available-now --checkpoint "$work/job"
pacifictool rejects --checkpoint "$work/job"
pacifictool asset list --type WeatherStation
