"""What keeps reports until a worker has confirmed them: files, and the threads that send and sync them."""
