#!/bin/sh
# The first start makes a cluster, every start runs what was asked for. What we use of the official entrypoint:
# POSTGRES_PASSWORD, POSTGRES_USER, POSTGRES_INITDB_ARGS, PGDATA, and options alone (`-c fsync=on`) meaning the server.
set -eu
case "${1-}" in -*) set -- postgres "$@" ;; esac

if [ "${1-}" = postgres ] && [ ! -s "$PGDATA/PG_VERSION" ]; then
    : "${POSTGRES_PASSWORD:?is not set: the superuser needs a password}"
    umask 077
    new="$PGDATA.new" # one rename at the end: a data folder that is there is whole
    rm -rf "$new"
    mkdir -p "${PGDATA%/*}"
    printf '%s\n' "$POSTGRES_PASSWORD" >"$new.password"
    # Splitting POSTGRES_INITDB_ARGS into words is its purpose.
    # shellcheck disable=SC2086
    initdb --pgdata "$new" --username "${POSTGRES_USER:-postgres}" --pwfile "$new.password" --auth=scram-sha-256 \
        --set listen_addresses='*' --no-instructions ${POSTGRES_INITDB_ARGS-}
    rm "$new.password"
    echo 'host all all all scram-sha-256' >>"$new/pg_hba.conf"
    mv "$new" "$PGDATA"
fi
unset POSTGRES_PASSWORD
exec "$@"
