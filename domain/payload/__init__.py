"""What makes a payload small, safe JSON with its secrets masked."""
