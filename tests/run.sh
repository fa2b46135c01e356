#!/usr/bin/env bash
# `make test`: every check, with a time table at the end. `run.sh failure-repeat N` repeats the failure tests.
set -euo pipefail
cd "$(dirname "$0")/.."
features=(--workspace --features failpoints)
table=()
# shellcheck source=/dev/null
[ ! -f .shequn/images.env ] || . .shequn/images.env # from `make images-base`

step() {
    local name=$1 began=$SECONDS
    shift
    echo "== $name"
    "$@"
    table+=("$(printf '%5d s  %s' $((SECONDS - began)) "$name")")
}

# A run starts from nothing: databases and streams of the last one are gone.
fresh_stack() {
    deploy/dev/stack.py --state "$PWD/.shequn/test" down --wipe
}

stop_stack() {
    deploy/dev/stack.py --state "$PWD/.shequn/test" down
}
trap stop_stack EXIT

case "${1:-all}" in
all)
    step 'format' cargo fmt --all --check
    step 'lints' cargo clippy "${features[@]}" --all-targets -- -D warnings
    step 'build' cargo build "${features[@]}" --bins
    step 'build tests' cargo nextest run "${features[@]}" --no-run
    step 'fresh stack' fresh_stack
    step 'tests' cargo nextest run "${features[@]}"
    printf '\nTime table\n'
    printf '%s\n' "${table[@]}"
    ;;
failure-repeat)
    cargo build "${features[@]}" --bins
    fresh_stack
    for ((n = 1; n <= $2; n++)); do
        echo "== failure tests, run $n of $2"
        cargo nextest run "${features[@]}" -E 'test(failure::)'
    done
    ;;
*)
    echo "usage: tests/run.sh [all | failure-repeat N]" >&2
    exit 2
    ;;
esac
