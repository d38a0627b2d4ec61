"""Life: what a process tells of the flows it holds, while it lives and after."""
