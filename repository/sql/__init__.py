"""The statements of the repository, each in its own file."""

from functools import cache
from importlib.resources import files

from sqlalchemy import TextClause, text


@cache
def statement(name: str) -> TextClause:
    """Return the statement in `<name>.sql`, with its `:name` parameters unbound."""
    return text(files(__name__).joinpath(f"{name}.sql").read_text(encoding="utf-8"))
