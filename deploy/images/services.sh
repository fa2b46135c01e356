#!/usr/bin/env bash
# `make images ONLY=services`: an image per service from programs that are built already. services.sh <folder of the programs> [tag]
set -euo pipefail
programs=$(realpath "${1:?name the folder of the programs, such as target/release}")
readonly programs TAG=${2:-dev}
cd "$(dirname "$0")/../.."
readonly BASE=${SHEQUN_BASE_IMAGE:-debian:bookworm-slim} REGISTRY=${SHEQUN_REGISTRY:-shequn}
readonly IMAGE_MIB_MAX=120 PROGRAM_MIB_MAX=40 # of a release, an image beyond its base
readonly SERVICES=(identity customers groups broadcast referral-commission)
export DOCKER_BUILDKIT=0 # the builder inside every engine; the other one is a plugin that may be missing

fail() {
    printf 'images: %s\n' "$@" >&2
    exit 1
}

docker version >/dev/null 2>&1 || fail 'no Docker engine answers' '  remedy: start one (`dockerd &`), or see .ci/run'
docker image inspect "$BASE" >/dev/null 2>&1 || docker pull --quiet "$BASE" >/dev/null ||
    fail "no image $BASE" '  remedy: `make images ONLY=base` builds one from packages'
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
revision=$(git describe --always --dirty --abbrev=40 --exclude='*' 2>/dev/null || echo unknown)
# The commit's time, so that one commit makes the same layers and labels again.
epoch=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}
created=$(date --utc --date="@$epoch" +%Y-%m-%dT%H:%M:%SZ)
source=${SHEQUN_SOURCE:-$(git remote get-url origin 2>/dev/null | grep '^https://' || true)}
SOURCE_DATE_EPOCH=$epoch deploy/images/sbom.py "$scratch" "${SERVICES[@]}"

# fits <what> <bytes> <MiB at most>
fits() {
    [ "$2" -le $(($3 * 1024 * 1024)) ] || fail "$1 is $(mib "$2"), over $3 MiB"
}

mib() { awk "BEGIN { printf \"%.1f MiB\", $1 / 1048576 }"; }

bytes_of_image() { docker image inspect --format '{{.Size}}' "$1"; }

for service in "${SERVICES[@]}"; do
    [ -x "$programs/$service" ] || fail "$programs/$service is missing" '  remedy: cargo build --workspace --bins'
    root=$scratch/$service image=$REGISTRY/$service:$TAG
    mkdir -p "$root/usr/local/bin" "$root/usr/share/doc/$service"
    # Without debug information, which is most of a debug build; a release has none.
    strip --strip-debug -o "$root/usr/local/bin/$service" "$programs/$service"
    ln -s "$service" "$root/usr/local/bin/service"
    mv "$scratch/$service.cdx.json" "$root/usr/share/doc/$service/sbom.cdx.json"
    find "$root" -exec touch --no-dereference --date="@$epoch" {} +
    docker build --file deploy/Dockerfile --tag "$image" --build-arg "BASE=$BASE" --build-arg "SERVICE=$service" \
        --build-arg "VERSION=$TAG" --build-arg "REVISION=$revision" --build-arg "CREATED=$created" \
        ${source:+--label "org.opencontainers.image.source=$source"} "$root" >"$scratch/log" 2>&1 ||
        fail "cannot build $image" "$(tail -n 12 "$scratch/log")"
    program=$(stat -c %s "$root/usr/local/bin/$service") added=$(($(bytes_of_image "$image") - $(bytes_of_image "$BASE")))
    echo "built $image: a program of $(mib "$program"), $(mib "$added") over its base"
    fits "$image over its base" "$added" "$IMAGE_MIB_MAX"
    # A debug build's keeps its symbols.
    [ "${programs##*/}" != release ] || fits "the program $service" "$program" "$PROGRAM_MIB_MAX"
done
