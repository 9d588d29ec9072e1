#!/bin/sh
# A worker that runs every deployed flow of prefect.yaml as a process, and tells that it is alive.
set -eu

prefect work-pool create edpipe --type process --overwrite
prefect --no-prompt deploy --all
python -m flows.writers
exec prefect worker start --pool edpipe --type process --with-healthcheck
