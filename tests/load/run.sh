#!/usr/bin/env bash
# `make bench`: builds for release and measures; a table, and target/bench.jsonl. Arguments: names to limit it to.
set -euo pipefail
cd "$(dirname "$0")/../.."
cargo build --release --workspace --bins
rm -f target/bench.jsonl
target/release/load "$@"
