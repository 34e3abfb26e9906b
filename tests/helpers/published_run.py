"""The folder of a run and the results of its model, as training and benchmarks leave them, without running any."""

import json
from dataclasses import asdict
from pathlib import Path

from evaluation.generation_settings import GenerationSettings
from evaluation.machine import Machine
from evaluation.results import Interval, Results, share_interval
from tests.helpers.gguf_models import TOKENIZER, gguf_model
from tests.helpers.metrics_lines import maxrl_lines, pretraining_lines, write_lines

MACHINE = Machine("a processor", 3, 17_000_000_000, "a GPU", 2, 23_900_000_000, 2)
OWN_FOLDER = "/home/me/secret-project"
SHARE = {"value": 0.2601, "low": 0.1302, "high": 0.5203}


def write_run(run: Path) -> Path:
    """Write a run with two stages on text of an own folder and of crates; return the folder of its model."""
    model = run / "maxrl" / "model"
    gguf_model().save_pretrained(model)
    TOKENIZER.save_pretrained(model)
    (run / "pretrain").mkdir()
    write_lines(run / "pretrain", pretraining_lines(steps=4, loops=2))
    rewards = {"reward": 0.0871, "compile_success_rate": 0.1907}
    write_lines(run / "maxrl", (line | rewards for line in maxrl_lines(steps=3)))
    _write(
        run / "pretrain" / "finished.json",
        {"tokens": 40961, "tokens_per_second": 1873.4, "held_out_loss": [4.5571, 4.4417], "seconds": 7387.0}
        | {"machines": [asdict(MACHINE)]},
    )
    judged = {"tasks": 13, "samples": 7, "solved": [SHARE, SHARE], "solved_at_all": [SHARE, SHARE]}
    _write(run / "maxrl" / "finished.json", judged | {"compiles": [SHARE, SHARE], "held_out_loss": [4.6011, 4.5013]})
    _write(
        run / "recipe.json",
        {
            "model": {"vocab_size": 448},
            "data": {"data_dir": OWN_FOLDER, "seq_len": 64, "sources": ["crates=/home/me/vendored"], "tasks": 57},
            "training": {"optimizer": "adamw"},
            "pretrain": {"kind": "pretrain", "total_steps": 40, "peak_lr": 0.0017, "batch_size": 16, "seq_len": 64},
            "maxrl": {"kind": "maxrl", "total_steps": 3, "prompts_per_step": 5, "num_generations": 11}
            | {"estimator": "maxrl", "mode": "compile"},
        },
    )
    _write_data(run / "prepare")
    return model


def _write_data(folder: Path) -> None:
    corpus = folder / "corpus"
    rows = {
        "00-secret-project-00000.jsonl": [{"crate": None, "source": "secret-part", "license": "MIT"}] * 3,
        "01-crates-00000.jsonl": [{"crate": "demo-1.0.0", "source": "crates", "license": "Apache-2.0"}] * 19,
    }
    (corpus / "rows").mkdir(parents=True)
    for name, lines in rows.items():
        (corpus / "rows" / name).write_text("".join(json.dumps(line) + "\n" for line in lines))
    _write(folder / "finished.json", {"texts": 22})
    _write(
        folder / "verification.json", {"counts": {"valid": 29, "semantic_error": 6}, "external": 4, "problem": None}
    )
    counts = {"compiled": 31, "failed_compile": 8, "invalid": 0, "not_judged": 9}
    report = {
        "rows": 22,
        "bytes": 8_370_000,
        "by_source": {"secret-part": {"rows": 3, "bytes": 1_110_000}, "crates": {"rows": 19, "bytes": 7_260_000}},
        "by_license": {"MIT": {"rows": 3, "bytes": 1_110_000}, "Apache-2.0": {"rows": 19, "bytes": 7_260_000}},
        "read": {"00-secret-project": {"left_out": {"copy of an earlier document": 37}}},
        "dropped": {"near-duplicate (crates)": 41},
        "verification": {"crates": counts, "secret-part": dict.fromkeys(counts, 0)},
    }
    _write(corpus / "report.json", report)


def write_results(folder: Path, model: dict) -> Path:
    """Write results of programs, of texts and of speed, with numbers that occur nowhere else."""
    solved = {f"Rust/{index}": float(index % 4 == 0) for index in range(43)}
    versions, model = {"torch": "2.99", "rustc": "1.88.8"}, model | {"path": "/home/me/model"}
    Results(
        "humaneval_rust",
        model,
        metrics={"pass@1": share_interval(list(solved.values()))},
        per_problem={"pass@1": solved},
        verdicts={"valid": 11, "tests_failed": 32},
        details={"completions": 43, "mean_loops": 1.875, "repeating_completions": 12},
        settings=asdict(GenerationSettings(num_samples=1, temperature=0.35, seed=14))
        | {"problems": "/home/me/rows.gz", "edition": "2021"},
        command="nanochat-ternary eval run --model /home/me/model --output-dir /home/me/results",
        seconds=211.4,
        versions=versions,
    ).write(folder)
    names = ("bits_per_byte", "bits_per_byte_loop_1", "bits_per_byte_loop_2")
    points = [{"threshold": 0.5, "mean_loops": 1.25, "loss": 1.31}]
    Results(
        "perplexity",
        model,
        metrics=dict.fromkeys(names, Interval(0.71234, 0.61234, 0.81234)),
        per_problem=dict.fromkeys(names, {"a": 0.70117, "b": 0.72351}),
        details={"perplexity_by_loop": [3.456, 3.321], "tokens": 997, "depth_quality": points},
        settings={"window": 384, "text": "/home/me/texts.jsonl"},
        unit="texts",
        seconds=46.2,
        versions=versions,
    ).write(folder)
    speed = {
        "batch_size": 9,
        "num_loops": 2,
        "exit_threshold": None,
        "mean_loops": 2.0,
        "peak_memory_bytes": 83_000_000,
    }
    speed |= {"prompt_tokens_per_second": [911.0, 907.5], "decode_tokens_per_second": [51.5, 52.5]}
    Results(
        "performance_benchmarks",
        model,
        metrics={"decode tokens/s": Interval(52.0, 51.5, 52.5)},
        per_problem={"decode tokens/s": {"round 1": 51.5, "round 2": 52.5}},
        details={"speeds": [speed], "device": "cpu", "threads": 6, "dtype": "float32"},
        settings={"batch_sizes": [9], "prompt_tokens": 131, "new_tokens": 33, "rounds": 2},
        unit="rounds",
        seconds=18.6,
        versions=versions,
    ).write(folder)
    return folder


def _write(path: Path, value: dict) -> None:
    path.write_text(json.dumps(value))
