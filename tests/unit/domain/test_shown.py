import json
import logging

import pytest

from masterflow.domain.shown.harmless import harmless, harmless_entry, harmless_json
from masterflow.domain.shown.log_format import HarmlessFormatter

DANGEROUS = (
    "\x00\x07\x08\x1b\x7f\x80\x85\x90\x9b\x9f\xad\u061c\u200b\u200e\u202e\u2066\u2028\u2029\ufeff\U000e0041"
)


@pytest.mark.parametrize("char", DANGEROUS, ids=ascii)
def test_what_steers_a_terminal_is_shown_as_a_mark_and_means_the_same_in_json(char):
    assert harmless(f"a{char}b") == "a�b"
    document = harmless_json(json.dumps({f"a{char}": [f"{char}b"]}, ensure_ascii=False, indent=2))
    assert all(shown.isprintable() or shown == "\n" for shown in document)
    assert json.loads(document) == {f"a{char}": [f"{char}b"]}


def test_blanks_are_blanks_and_letters_of_any_script_stay():
    assert harmless("a\tb\r\nc\u00a0d\u3000e") == "a b  c d e"
    assert harmless("Größe ✔ 流 עברית 🚀 é␀") == "Größe ✔ 流 עברית 🚀 é␀"


def test_no_line_of_an_entry_can_be_taken_for_another_entry():
    forged = "[2026-01-01 00:00:00,000: INFO/MainProcess] all is well"
    assert harmless_entry(f"a\n{forged}\n") == f"a\n  | {forged}"
    assert harmless_entry(f"a\r{forged}") == f"a {forged}"
    assert harmless_entry(f"a\u2028{forged}") == f"a�{forged}"


def test_an_error_in_a_log_is_one_entry_whatever_it_quotes():
    formatter = HarmlessFormatter(logging.Formatter("%(levelname)s %(message)s"))
    with pytest.raises(ValueError, match="forged") as caught:
        int("no\nERROR forged\x1b[2J")
    info = (caught.type, caught.value, caught.tb)
    record = logging.LogRecord("x", logging.ERROR, "f.py", 1, "of %s", ("a\nERROR forged",), info)
    first, *others = formatter.format(record).splitlines()
    assert first == "ERROR of a"
    assert others[0] == "  | ERROR forged"
    assert others[1] == "  | Traceback (most recent call last):"
    assert all(line.startswith("  | ") and "\x1b" not in line for line in others)
