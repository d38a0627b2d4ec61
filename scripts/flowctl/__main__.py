"""Runs it as `python -m masterflow.scripts.flowctl`."""

from masterflow.scripts.flowctl import main

if __name__ == "__main__":
    main()
