#!/bin/sh
# What a container does: a role, or any command (Kubernetes gives `dagster api …` of its own).
set -eu

workspace="${AIQC_WORKSPACE:-/srv/aiqc/workspace.yaml}"
[ $# -gt 0 ] || set -- code-server

case "$1" in
  code-server) # serves the definitions to webserver and daemon
    shift
    exec dagster api grpc --host 0.0.0.0 --port "${LISTEN_PORT:-4000}" \
      --module-name aiqc_dagster.definitions "$@"
    ;;
  webserver)
    shift
    exec dagster-webserver --host 0.0.0.0 --port "${LISTEN_PORT:-3000}" --workspace "$workspace" "$@"
    ;;
  daemon) # schedules, sensors, the queue of runs
    shift
    exec dagster-daemon run --workspace "$workspace" "$@"
    ;;
  celery) # celery QUEUE: a worker of the queue `gpu` or `default`, one step at a time
    queue="${2:?celery: name the queue, gpu or default}"
    shift 2
    exec celery -A aiqc_dagster.executors.celery.app worker -Q "$queue" -n "$queue@%h" --concurrency 1 "$@"
    ;;
  *)
    exec "$@"
    ;;
esac
