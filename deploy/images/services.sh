#!/usr/bin/env bash
# `make images`: an image per service from programs that are built already. services.sh <folder of the programs> [tag]
set -euo pipefail
programs=$(realpath "${1:?name the folder of the programs, such as target/release}")
readonly programs TAG=${2:-dev}
cd "$(dirname "$0")/../.."
readonly BASE=${SHEQUN_BASE_IMAGE:-debian:bookworm-slim} REGISTRY=${SHEQUN_REGISTRY:-shequn}
readonly SERVICES=(identity customers groups broadcast referral-commission)
export DOCKER_BUILDKIT=0 # the builder inside every engine; the other one is a plugin that may be missing

fail() {
    printf 'images: %s\n' "$@" >&2
    exit 1
}

docker version >/dev/null 2>&1 || fail 'no Docker engine answers' '  remedy: start one (`dockerd &`), or see .ci/run'
docker image inspect "$BASE" >/dev/null 2>&1 || docker pull --quiet "$BASE" >/dev/null ||
    fail "no image $BASE" '  remedy: `make images-base` builds one from packages'
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
revision=$(git rev-parse HEAD 2>/dev/null || echo unknown)

for service in "${SERVICES[@]}"; do
    [ -x "$programs/$service" ] || fail "$programs/$service is missing" '  remedy: cargo build --workspace --bins'
    root=$scratch/$service
    mkdir -p "$root/usr/local/bin"
    # Without debug information, which is most of a debug build; a release has none.
    strip --strip-debug -o "$root/usr/local/bin/$service" "$programs/$service"
    ln -s "$service" "$root/usr/local/bin/service"
    docker build --file deploy/Dockerfile --tag "$REGISTRY/$service:$TAG" --build-arg "BASE=$BASE" --build-arg "SERVICE=$service" \
        --build-arg "VERSION=$TAG" --build-arg "REVISION=$revision" "$root" >"$scratch/log" 2>&1 ||
        fail "cannot build $REGISTRY/$service:$TAG" "$(tail -n 12 "$scratch/log")"
    echo "built $REGISTRY/$service:$TAG, $(stat -c %s "$root/usr/local/bin/$service" | numfmt --to=iec-i) of program"
done
