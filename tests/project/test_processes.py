"""Runs of a benchmark in processes of their own: each on its share of the cores, with its output, and none lost."""

import json
import sys

import psutil
import pytest
from processes import run_all

PRINT_CORES = "import psutil; print(sorted(psutil.Process().cpu_affinity()))"


def test_runs_at_the_same_time_share_no_cores_and_keep_their_output(tmp_path):
    runs = [(tmp_path / name, [sys.executable, "-c", PRINT_CORES]) for name in "abc"]
    run_all(runs, jobs=2)
    found = [json.loads((folder / "output.txt").read_text()) for folder, _ in runs]
    cores = psutil.Process().cpu_affinity()
    shares = [sorted(cores[job::2] or cores) for job in (0, 1)]
    assert all(each in shares for each in found)


def test_a_run_that_fails_is_named_after_the_others_have_ended(tmp_path):
    runs = [(tmp_path / "bad", [sys.executable, "-c", "print('why'); exit(3)"])]
    runs += [(tmp_path / name, [sys.executable, "-c", "print('done')"]) for name in ("first", "second")]
    with pytest.raises(RuntimeError, match="bad failed with status 3, see .*output.txt"):
        run_all(runs, jobs=1)
    assert (tmp_path / "bad" / "output.txt").read_text() == "why\n"
    assert all((tmp_path / name / "output.txt").read_text() == "done\n" for name in ("first", "second"))
