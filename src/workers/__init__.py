"""The worker door: Celery."""
