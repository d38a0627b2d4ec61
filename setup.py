"""Puts back the links of `masterflow/`, which whoever unpacks a zip may write as text, as pip does."""

from pathlib import Path

from setuptools import setup

_HOUSE = Path(__file__).parent / "masterflow"

# Git stores a link as a file that holds where it leads; no source of ours is a single relative path.
for path in sorted(_HOUSE.iterdir()):
    target = path.read_text(encoding="utf-8") if path.is_file() and not path.is_symlink() else ""
    if target == f"../{path.name}":
        path.unlink()
        path.symlink_to(target)

setup()
