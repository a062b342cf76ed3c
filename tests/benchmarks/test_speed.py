"""The speed benchmarks run, once each, at their smallest size; their figures are not judged."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SPEED = Path(__file__).parent.parent.parent / "benchmarks" / "speed"


@pytest.mark.parametrize("name", ["blocks", "cast", "elementwise", "matmul", "forward"])
def test_a_benchmark_runs_and_keeps_its_rows(name: str, tmp_path: Path) -> None:
    kept = tmp_path / "rows.json"
    command = [sys.executable, str(SPEED / f"{name}.py"), "--tiny", "--json", str(kept)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    rows = json.loads(kept.read_text(encoding="utf-8"))
    assert {row["threads"] for row in rows} == {1, 2}
    assert all(row["ours_ms"] > 0 and row["other_ms"] > 0 for row in rows)
    assert all(row["work"] in done.stdout for row in rows)
