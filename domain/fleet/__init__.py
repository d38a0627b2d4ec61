"""What many flows do together: causes of errors, how long phases take, and windows of time."""
