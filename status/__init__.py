"""What people see: the status manager, the HTTP API, the live page and the metrics."""
