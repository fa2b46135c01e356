#!/usr/bin/env bash
# Checks every `query!` against its service's real schema and writes the offline data beside the crate.
# SQLX_SERVICES="customers groups" limits it to some crates.
set -euo pipefail
cd "$(dirname "$0")/../.."
state="$PWD/.shequn/sqlx"
crates=${SQLX_SERVICES:-identity customers groups broadcast referral-commission}
deploy/dev/stack.py --state "$state" up >/dev/null
trap 'deploy/dev/stack.py --state "$state" down --wipe' EXIT

setting() { deploy/dev/stack.py --state "$state" env "$1" | sed -n "s/^$2=//p"; }

for crate in $crates; do
    schema=${crate%-commission}
    owner=$(setting "$schema" SHEQUN_OWNER_DATABASE_URL)
    # The queries must compile before the crate's own `migrate` can run, so psql applies the files.
    for file in libs/outbox/migrations/*.sql "services/$crate"/migrations/*.sql; do
        "$(dirname "$(deploy/dev/stack.py install | awk 'NR==1 {print $1}')")/psql" -qX -v ON_ERROR_STOP=1 "$owner" -f "$file"
    done
    url=$(setting "$schema" SHEQUN_DATABASE_URL)
    rm -rf "services/$crate/.sqlx" && mkdir -p "services/$crate/.sqlx"
    touch "services/$crate/src/lib.rs"
    env SQLX_OFFLINE=false "${schema^^}_DATABASE_URL=$url" "SQLX_OFFLINE_DIR=$PWD/services/$crate/.sqlx" \
        cargo check -p "$crate" --all-targets
done
