"""What people run: the demo, the tests, flowctl, maintenance and benchmarks."""
