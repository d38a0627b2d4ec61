"""The demo: real servers and workers, three real flows, and the rows that they fill."""
