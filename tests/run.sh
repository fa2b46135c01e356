#!/usr/bin/env bash
# `make test`: every check, with a time table at the end. `run.sh soak` plays the fault matrix at random for MINUTES,
# `run.sh soak failure` the failure tests N times, `run.sh containers-repeat N` those of the set in containers;
# `run.sh generate` writes what is written from code.
set -euo pipefail
cd "$(dirname "$0")/.."
features=(--workspace --features failpoints)
table=()
# shellcheck source=/dev/null
[ ! -f .shequn/images.env ] || . .shequn/images.env # from `make images ONLY=base`

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
        'make=apt-get install make' 'promtool=apt-get install --no-install-recommends prometheus' \
        'kubectl=install kubectl 1.27 or later, which renders the manifests'; do
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

usage() {
    printf '%s\n' "$@" 'usage: tests/run.sh [all | soak [matrix|failure] | containers-repeat N | generate [queries|contracts|permissions]]' >&2
    exit 2
}

# Offline data of every query, snapshots of every contract, NATS' permissions on Kubernetes.
generate() {
    case "$1" in
    queries) deploy/dev/sqlx.sh ;;
    contracts)
        cargo build "${features[@]}" --bins
        INSTA_UPDATE=always cargo nextest run "${features[@]}" -E 'test(contracts::)'
        ;;
    permissions) deploy/base/nats/generate.py ;;
    *) usage "nothing is generated as $1" ;;
    esac
}

soak_matrix() {
    [[ ${MINUTES:=60} =~ ^[1-9][0-9]*$ ]] || usage "MINUTES is a number of them, not '$MINUTES'"
    export SHEQUN_SOAK_MINUTES=$MINUTES SHEQUN_MATRIX_SEED=${SEED:-}
    cargo nextest run "${features[@]}" --profile soak --run-ignored only --no-capture -E 'test(failure::matrix::soak)'
}

soak_failure() {
    local n
    [[ ${N:=20} =~ ^[1-9][0-9]*$ ]] || usage "N is a number of runs, not '$N'"
    fresh_stack
    for ((n = 1; n <= N; n++)); do
        echo "== failure tests, run $n of $N"
        cargo nextest run "${features[@]}" -E 'test(failure::) | binary(delivery)'
    done
    echo "failure tests: $N runs passed"
}

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
soak)
    declare -F "soak_${2:-matrix}" >/dev/null || usage "there is no soak of $2"
    cargo build "${features[@]}" --bins
    soak_"${2:-matrix}"
    ;;
containers-repeat)
    [[ ${2:-} =~ ^[1-9][0-9]*$ ]] || usage "N is a number of runs, not '${2:-}'"
    cargo build "${features[@]}" --bins
    deploy/images/services.sh "${CARGO_TARGET_DIR:-target}/debug" "${SHEQUN_TAG:-dev}"
    for ((n = 1; n <= $2; n++)); do
        echo "== the set in containers, run $n of $2"
        CI=true cargo nextest run "${features[@]}" --retries 0 -E 'test(containers::)' # true: no engine is a failure
    done
    echo "the set in containers: $2 runs passed"
    ;;
generate)
    for what in ${2:-queries contracts permissions}; do
        generate "$what"
    done
    ;;
*) usage "$1 is nothing this does" ;;
esac
