#!/usr/bin/env bash
# `make images`: Postgres and NATS from packages and a release image per service, or ONLY=base, ONLY=services.
set -euo pipefail
cd "$(dirname "$0")/../.."

base() { deploy/images/build.sh; }
services() {
    cargo build --release --workspace --bins
    deploy/images/services.sh "${CARGO_TARGET_DIR:-target}/release"
}

case "${1:-}" in
'') base && services ;;
base | services) "$1" ;;
*)
    echo "images: ONLY is base or services, not '$1'" >&2
    exit 2
    ;;
esac
