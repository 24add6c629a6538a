#!/bin/sh
# Runs once, when the database's volume is new: the gateway's role and its database. The role is no superuser and does
# not bypass row-level security, which keeps tenants apart in PostgreSQL itself; it owns its database and nothing else.
set -eu
psql --no-psqlrc -v ON_ERROR_STOP=1 -v password="$GATEWAY_PASSWORD" --username "$POSTGRES_USER" --dbname postgres <<'SQL'
CREATE ROLE gateway LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOBYPASSRLS PASSWORD :'password';
CREATE DATABASE gateway OWNER gateway;
REVOKE ALL ON DATABASE gateway FROM PUBLIC;
SQL
