#!/bin/sh
# A worker that runs every deployed flow of prefect.yaml as a process, and tells that it is alive.
set -eu

prefect work-pool create edpipe --type process --overwrite
# One writer of the home at a time, whatever runs.
prefect global-concurrency-limit inspect edpipe-writer >/dev/null 2>&1 ||
    prefect global-concurrency-limit create edpipe-writer --limit 1
prefect --no-prompt deploy --all
exec prefect worker start --pool edpipe --type process --with-healthcheck
