#!/bin/sh
# MLflow's server: the bucket is made first, since MLflow itself never makes one.
set -eu

python docker/bucket.py "$MLFLOW_ARTIFACTS_DESTINATION"
# One process: half a gigabyte instead of three.
exec mlflow server --host "${LISTEN:-127.0.0.1}" --port "${MLFLOW_PORT:-5000}" --workers 1
