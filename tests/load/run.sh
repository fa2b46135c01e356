#!/usr/bin/env bash
# `make bench`: builds for release and measures; a table, and target/bench.jsonl. Arguments: names to limit it to.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --workspace --bins
rm -f target/bench.jsonl
if docker version >/dev/null 2>&1; then
    deploy/images/services.sh target/release bench
    export SHEQUN_BENCH_TAG=bench
fi
target/release/load "$@"
