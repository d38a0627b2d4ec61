"""What people read on terminals and in logs, whoever wrote it: made harmless in one place."""
