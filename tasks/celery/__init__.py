"""What we add to Celery: its consumer and its scheduler, and what a worker does beside its tasks."""
