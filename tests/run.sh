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

# What a bare machine may lack, each with its remedy.
check_commands() {
    local need missing=0
    for need in \
        'cargo=install Rust with rustup' 'cargo-clippy=rustup component add clippy' 'rustfmt=rustup component add rustfmt' \
        'cargo-nextest=cargo install --locked cargo-nextest' 'cc=apt-get install gcc libc6-dev' \
        'python3=apt-get install python3' 'openssl=apt-get install openssl' 'git=apt-get install git' \
        'make=apt-get install make' 'kubectl=install kubectl 1.27 or later, which renders the manifests'; do
        command -v "${need%%=*}" >/dev/null && continue
        echo "${need%%=*} is missing; remedy: ${need#*=}" >&2
        missing=1
    done
    return $missing
}
check_commands

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
    ! docker version >/dev/null 2>&1 ||
        step 'service images' deploy/images/services.sh "${CARGO_TARGET_DIR:-target}/debug"
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
        cargo nextest run "${features[@]}" -E 'test(failure::) | binary(delivery)'
    done
    echo "failure tests: $2 runs passed"
    ;;
*)
    echo "usage: tests/run.sh [all | failure-repeat N]" >&2
    exit 2
    ;;
esac
