"""How often a phrase was written to a file that grows."""

from pathlib import Path


class PhraseCount:
    """Counts a phrase that ends a line, reading each byte of the file only once."""

    def __init__(self, path: Path, phrase: bytes) -> None:
        path.touch()
        self.path = path
        self._phrase = phrase + b"\n"
        self._read_to = 0
        self._count = 0

    def __call__(self) -> int:
        with self.path.open("rb") as file:
            file.seek(self._read_to)
            lines, newline, _ = file.read().rpartition(b"\n")
        self._read_to += len(lines + newline)
        self._count += (lines + newline).count(self._phrase)
        return self._count
