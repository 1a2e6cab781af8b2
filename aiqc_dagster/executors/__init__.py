"""Where a step runs: warm pool, GPU workers, Celery, Kubernetes."""
