#!/bin/sh
# On a machine with CUDA, from an empty clone: sh benchmarks/gpu.sh
# Writes results/gpu.json. About 25 GB of disk, 12 GB of GPU memory and half an hour.
set -eu
cd "$(dirname "$0")/.."
make .venv-bench/ready
.venv-bench/bin/python -m benchmarks.gpu "$@" | tail -n 1 > results/gpu.json.partial
mv results/gpu.json.partial results/gpu.json
