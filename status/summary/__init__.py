"""Parts of what is told of a flow: its processes and deadlines, its child row."""
