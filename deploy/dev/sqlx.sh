#!/usr/bin/env bash
# Checks every `query!` against its service's real schema and writes the offline data beside the crate.
# SQLX_SERVICES="customers groups" limits it to some crates.
set -euo pipefail
cd "$(dirname "$0")/../.."
state="$PWD/.shequn/sqlx"
crates=${SQLX_SERVICES:-identity customers groups broadcast referral-commission}
stack() { deploy/dev/stack.py --state "$state" "$@"; }
trap 'stack down --wipe' EXIT
stack down --wipe # what a killed run left
stack up >/dev/null

setting() { stack env "$1" | sed -n "s/^$2=//p"; }
postgres=$(stack install | sed -n '1s/ [^ ]*$//p') # "<path> <version>"

for crate in $crates; do
    schema=${crate%-commission}
    owner=$(setting "$schema" SHEQUN_OWNER_DATABASE_URL)
    # The queries must compile before the crate's own `migrate` can run, so psql applies the files.
    for file in libs/outbox/migrations/*.sql "services/$crate"/migrations/*.sql; do
        "$(dirname "$postgres")/psql" -qX1 -v ON_ERROR_STOP=1 "$owner" -f "$file" # as `migrate` does, in one transaction
    done
    url=$(setting "$schema" SHEQUN_DATABASE_URL)
    # Written apart, so that a check that fails leaves the data as it was.
    data="$PWD/target/sqlx/$crate"
    rm -rf "$data" && mkdir -p "$data"
    touch "services/$crate/src/lib.rs"
    env SQLX_OFFLINE=false "${schema^^}_DATABASE_URL=$url" "SQLX_OFFLINE_DIR=$data" \
        cargo check -p "$crate" --all-targets
    rm -rf "services/$crate/.sqlx" && mv "$data" "services/$crate/.sqlx"
done
