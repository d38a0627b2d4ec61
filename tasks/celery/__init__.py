"""What we add to Celery: consumer, scheduler, guards, shutdown, the worker's event loop."""
