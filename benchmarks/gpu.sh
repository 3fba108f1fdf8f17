#!/bin/sh
# On a machine with CUDA, from an empty clone: sh benchmarks/gpu.sh
# The tests that need a GPU, then results/gpu.json. Nine minutes at most, 20 GB of disk, 12 GB of GPU
# memory. PYTHON names an interpreter that has everything already.
set -eu
cd "$(dirname "$0")/.."
if [ -z "${PYTHON:-}" ]; then
  make .venv-bench/ready
  PYTHON=.venv-bench/bin/python
fi
timeout 120 "$PYTHON" -m pytest -m gpu tests || echo "GPU tests: exit $?" >&2
timeout 400 "$PYTHON" -m benchmarks.gpu --seconds 300 "$@" | tail -n 1 > results/gpu.json.partial
mv results/gpu.json.partial results/gpu.json
