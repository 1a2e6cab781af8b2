"""Steps on Celery workers."""
