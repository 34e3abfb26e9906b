"""The benchmark of training on a GPU measures every row, and goes on after what interrupts it."""

import json

import pytest
import torch
from gpu_training import ENDED, Row, cells, measure_all, page, rows, run, start
from rich.console import Console

from benchmarks import gpu_training_rows


@pytest.mark.slow
def test_a_row_of_each_table_is_measured(tmp_path):
    chosen = list({row.section: row for row in rows(tiny=True)}.values())
    results = start(tmp_path / "results.json", tiny=True)
    with torch.compiler.set_stance("force_eager"):
        measure_all(results, chosen, tmp_path / "results.json", 1e9, Console(quiet=True))
    assert [results["rows"][row.key].get("error") for row in chosen] == [None] * 6
    assert all(results["rows"][row.key]["seconds"] > 0 for row in chosen)


@pytest.mark.slow
def test_every_row_is_measured_and_on_the_page(tmp_path):
    output, report = tmp_path / "results.json", tmp_path / "page.md"
    run(output, report, None, 1e9, tiny=True)
    found, expected = json.loads(output.read_text())["rows"], rows(tiny=True)
    assert list(found) == [row.key for row in expected]
    assert {key: row["error"] for key, row in found.items() if "error" in row} == {}
    assert all(row["seconds"] > 0 and row["first_seconds"] > 0 for row in found.values())
    assert all(f"| {row.name} |" in report.read_text() for row in expected)


def fails(error):
    def measure():
        raise error

    return measure


def test_a_row_that_fails_says_so_and_the_others_are_measured(tmp_path):
    errors = {
        "memory": torch.OutOfMemoryError("CUDA out of memory"),
        "kernel": RuntimeError("CUDA error: misaligned address\nmore"),
        "peer": gpu_training_rows.NoGradient("3 parameters get no finite, non-zero gradient, such as x"),
    }
    chosen = [Row("s", name, fails(error)) for name, error in errors.items()] + [
        Row("s", "good", lambda: {"seconds": 1})
    ]
    results = {"rows": {}, "device": "cpu", "torch": "2"}
    measure_all(results, chosen, tmp_path / "results.json", 1e9, Console(quiet=True))
    assert [cells(row, results["rows"][row.key])[1] for row in chosen] == [
        "out of memory",
        "RuntimeError: CUDA error: misaligned address",
        "does not count: 3 parameters get no finite, non-zero gradient, such as x",
        "1,000",
    ]


def test_a_later_call_measures_what_is_left_and_not_the_row_that_ended_the_process(tmp_path):
    output, console, called = tmp_path / "results.json", Console(quiet=True), []
    chosen = [
        Row("s", "done", lambda: called.append("done") or {"seconds": 1.0}),
        Row("s", "killed", fails(KeyboardInterrupt())),
        Row("s", "late", lambda: called.append("late") or {"seconds": 2.0}),
    ]
    with pytest.raises(KeyboardInterrupt):
        measure_all(start(output, tiny=True), chosen, output, 1e9, console)
    results = start(output, tiny=True)
    assert results["rows"]["s: killed"] == ENDED
    measure_all(results, chosen, output, -1.0, console)  # no time
    assert "not measured" in page(results, chosen)
    measure_all(results, chosen, output, 1e9, console)
    assert called == ["done", "late"] and "the process ended" in page(results, chosen)


def test_results_of_another_size_or_device_are_not_continued(tmp_path):
    output = tmp_path / "results.json"
    output.write_text(json.dumps(start(output, tiny=True) | {"device": "H100"}))
    with pytest.raises(ValueError, match="same benchmark, device, torch, tiny, got .* with another device"):
        start(output, tiny=True)
    with pytest.raises(ValueError, match="--only must be part of a row's name, got 'nothing'"):
        run(output, None, "nothing", 1.0, tiny=True)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_only_tiny_models_are_measured(tmp_path):
    with pytest.raises(ValueError, match="needs a CUDA GPU, got none: --tiny"):
        start(tmp_path / "results.json", tiny=False)
