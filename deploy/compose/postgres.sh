#!/usr/bin/env bash
# Makes the state's database, which its role owns. PostgreSQL's image runs this when it makes its cluster.
set -euo pipefail

psql --username postgres --dbname postgres --set ON_ERROR_STOP=1 <<'SQL'
\set password `cat /run/secrets/state_password`
CREATE ROLE trailkeeper LOGIN PASSWORD :'password';
CREATE DATABASE trailkeeper OWNER trailkeeper;
REVOKE CONNECT ON DATABASE trailkeeper FROM PUBLIC;
SQL
