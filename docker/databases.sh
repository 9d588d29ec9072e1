#!/bin/sh
# One database and one owner for each server, made when the volume is new.
set -eu

for name in prefect mlflow; do
    case $name in
        prefect) password=$PREFECT_DB_PASSWORD ;;
        mlflow) password=$MLFLOW_DB_PASSWORD ;;
    esac
    psql --set=ON_ERROR_STOP=1 --quiet --no-psqlrc --username="$POSTGRES_USER" --dbname=postgres \
        --set=name="$name" --set=password="$password" <<'SQL'
CREATE ROLE :"name" LOGIN PASSWORD :'password';
CREATE DATABASE :"name" OWNER :"name";
REVOKE CONNECT ON DATABASE :"name" FROM PUBLIC;
SQL
done
