"""Runs it as `python -m scripts.flowctl`."""

from scripts.flowctl.app import main

if __name__ == "__main__":
    main()
