import os
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[3]


def demo(folder, *options):
    servers = ("DATABASE_URL", "REDIS_URL", "CELERY_BROKER_URL", "ENRICHMENT_SPOOL_DIR")
    return subprocess.run(
        [ROOT / "scripts" / "demo", "--crewai", "--once", "--folder", folder, *options],
        env={name: value for name, value in os.environ.items() if name not in servers} | {"COLUMNS": "120"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )


def test_a_flow_of_crewai_fills_its_row(application, tmp_path):
    done = demo(tmp_path / "demo")
    assert done.returncode == 0, done.stdout + done.stderr
    said = " ".join(done.stdout.split())
    assert "ServerAssessment ✔ completed" in said
    assert "8 transitions, 1 error, 1 retry" in said
    assert "7 calls" in said
    for phase in ("read inventory", "map columns", "assess applications", "write report"):
        assert f"{phase} ✔ completed" in said
    for agent in ("Schema Expert", "Dependency Analyst", "Risk Assessor", "Technical Writer"):
        assert f"{agent} scripted-1" in said
    assert "cost unknown" not in said


def test_it_reads_no_file(tmp_path):
    done = demo(tmp_path / "demo", "--csv", tmp_path / "mine.csv")
    assert done.returncode == 2
    assert "leave out --csv" in done.stderr
