#!/usr/bin/env bash
# A population on each of several TPU machines, which share a folder and have this checkout and the
# extra "tpu": bash docs/scaling/tpu.sh CONFIG FOLDER MACHINE...
# Every machine takes a line; once all have ended, those that are printed next follow, until none is.
set -euo pipefail
config="$1" folder="$2"
shift 2
while true; do
    lines="$(python launch.py sweep --config="$config" --workdir="$folder" --executor=print)"
    [ -n "$lines" ] || break
    for machine in "$@"; do
        IFS= read -r line || break
        ssh -n "$machine" "cd adaptax && $line" &
    done <<<"$lines"
    wait
done
