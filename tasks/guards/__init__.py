"""Guards against faults of Celery and kombu, each with the test that says when it can go."""
