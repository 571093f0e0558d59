#!/usr/bin/env bash
# A sweep on a SLURM cluster, from a login node: bash docs/scaling/slurm.sh CONFIG FOLDER
# Stop it and start it again as you like: the jobs go on, and it finds them.
set -euo pipefail
exec python launch.py sweep --config="$1" --workdir="$2" --executor=slurm \
    --partition=gpu --account=mine --time_limit=120 --slots=16 \
    --slurm=gpus_per_node=1,cpus_per_task=8,mem=32G
