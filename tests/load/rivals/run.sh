#!/usr/bin/env bash
# `make bench-rivals`: installs the rivals, builds for release, measures; a table, and lines in target/bench.jsonl.
# ROUNDS (5) and RECIPIENTS (60000) make it shorter; ONLY=bullmq limits it.
set -euo pipefail
cd "$(dirname "$0")/../../.."
home=$(tests/load/rivals/install.py)
cargo build --release --workspace --bins
exec "$home/venv/bin/python" -B tests/load/rivals/run.py "$home"
