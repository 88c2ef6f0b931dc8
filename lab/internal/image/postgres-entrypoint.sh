#!/bin/sh
# Starts PostgreSQL, and makes its database first if there is none.
#   POSTGRES_PASSWORD  required for a new database
#   POSTGRES_USER      superuser of a new database (postgres)
#   POSTGRES_DB        database to create in a new one (the user's name)
#   PGDATA             where it is
set -eu

if [ "${1:-}" != postgres ]; then
    exec "$@"
fi
shift

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    if [ -z "${POSTGRES_PASSWORD:-}" ]; then
        echo "POSTGRES_PASSWORD must be set for a new database" >&2
        exit 1
    fi
    # A folder with anything in it is somebody's database, even if it does not look like one: a damaged one is not
    # replaced by an empty one.
    if [ -d "$PGDATA" ] && ! rmdir "$PGDATA"; then
        echo "$PGDATA is neither a database nor empty; PGDATA must be a folder in the volume, not the volume itself" >&2
        exit 1
    fi
    user=${POSTGRES_USER:-postgres}
    database=${POSTGRES_DB:-$user}
    # Made beside its place: a database in its place is complete, and durable, for snapshots hold what was synced.
    new=$PGDATA.new
    rm -rf "$new"
    mkdir -p "$(dirname "$PGDATA")"
    printf '%s\n' "$POSTGRES_PASSWORD" > /tmp/password
    initdb --pgdata="$new" --username="$user" --pwfile=/tmp/password \
        --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    rm /tmp/password
    echo "host all all all scram-sha-256" >> "$new/pg_hba.conf"
    if [ "$database" != postgres ]; then
        echo "CREATE DATABASE \"$database\";" | postgres --single -D "$new" postgres > /dev/null
    fi
    mv "$new" "$PGDATA"
fi
# A volume that is mounted with an fsGroup becomes writable by the group, which PostgreSQL refuses.
chmod 0700 "$PGDATA"

exec postgres -D "$PGDATA" -c listen_addresses='*' -c unix_socket_directories=/var/run/postgresql "$@"
