import re
from importlib.metadata import version


def test_it_says_its_version(flowctl):
    assert flowctl("--version") == (0, f"masterflow {version('masterflow')}\n", "")
    assert re.fullmatch(r"\d+\.\d+\.\d+", version("masterflow"))
