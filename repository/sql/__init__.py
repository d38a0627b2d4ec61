"""The statements of the repository, each in its own file; what several share is a file that they include."""

import re
from functools import lru_cache
from importlib.resources import files
from typing import Final

from sqlalchemy import TextClause, text

_INCLUDE: Final = re.compile(r"^ *-- include: (\w+)\n", re.MULTILINE)


@lru_cache(maxsize=256)
def statement(name: str, **parts: str) -> TextClause:
    """Return the statement in `<name>.sql`, with its `:name` parameters unbound.

    A line `-- include: <part>` stands for that one of `parts`, or else for the text of `<part>.sql`.
    """
    return text(source(name, **parts))


def source(name: str, **parts: str) -> str:
    """Return the text of a statement or a part, whole."""
    written = files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8")
    return _INCLUDE.sub(
        lambda line: f"{parts[line[1]]}\n" if line[1] in parts else source(line[1], **parts), written
    )
