"""A short run of `scripts/torture`, and what it counts."""

import argparse
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "torture.py"


def test_no_trial_fails(postgres_server: str, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, SCRIPT, "--minutes", "0.05", "--postgres", postgres_server],
        cwd=tmp_path,
        check=False,
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].split()[::2] == ["all", "0"]


def test_a_worker_that_dies_is_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(SCRIPT.parent)
    torture = importlib.import_module(SCRIPT.stem)
    reading, writing = os.pipe()
    os.write(writing, b"/worker-0/0\tkill\t1\n")
    os.close(writing)
    workers = [os.spawnlp(os.P_NOWAIT, name, name) for name in ("true", "false")]  # noqa: S606 - nothing of a user's

    code = torture.report(reading, workers, argparse.Namespace())

    assert code == 1
    assert capsys.readouterr().out == (
        "FAILED: a worker ended with 1\n"
        "kind          trials  failures\n"
        "kill               1         0\n"
        "worker             0         1\n"
        "all                1         1\n"
    )
