"""What the pages that people follow tell them to type: shell commands and Python examples."""

import re
import shlex
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGES: Final = ("README.md", "CONTRIBUTING.md", "docs/operations.md", "docs/adoption.md")

#: What a block may be: shell, Python, or no code at all.
LANGUAGES: Final = frozenset({"sh", "python", "text"})

_BLOCK: Final = re.compile(r"^```(.*?)\n(.*?)^```", re.DOTALL | re.MULTILINE)
_PROGRAM: Final = re.compile(
    r"(?:flowctl|celery|uvicorn|pip|python3?|docker|docker-compose|kubectl|systemctl|redis-cli|psql|promtool"
    r"|\./\S+)(?: |$)"
)


def blocks(page: str) -> list[tuple[str, str]]:
    """Return the language and the text of each fenced block."""
    return _BLOCK.findall((ROOT / page).read_text())


def examples(page: str) -> list[str]:
    """Return the Python blocks."""
    return [text for language, text in blocks(page) if language == "python"]


def commands(page: str) -> list[str]:
    """Return the commands in shell blocks and within the text, each once."""
    shell = [text for language, text in blocks(page) if language == "sh"]
    inline = re.findall(r"`([^`\n]+)`", _BLOCK.sub("", (ROOT / page).read_text()))
    found = [*"".join(shell).splitlines(), *filter(_PROGRAM.match, inline)]
    words = [shlex.split(line, comments=True) for line in found]
    return list(dict.fromkeys(shlex.join(it) for it in words if it))


def every_command() -> list[str]:
    """Return the commands of all pages, each once."""
    return list(dict.fromkeys(command for page in PAGES for command in commands(page)))
