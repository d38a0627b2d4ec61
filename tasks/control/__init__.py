"""What people ask of flows: taken from API and `flowctl`, and told to the processes that have the flows."""
