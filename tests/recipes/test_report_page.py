"""The page of a run holds what its folder has, alone and without a network, however far the run came."""

import base64
import json
import struct
import zlib

import pytest

from evaluation.results import Interval, Results
from recipes.pipeline.report_page import write_page
from tests.helpers.html_reader import ATTACK, Reader
from tests.helpers.metrics_lines import maxrl_lines, pretraining_lines, write_lines
from trainers.reinforcement import sample_page
from trainers.reinforcement.sample_page import JudgedSample

PIXEL = zlib.compress(b"\0\xff")
PNG = b"\x89PNG\r\n\x1a\n" + b"".join(
    struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    for kind, data in ((b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)), (b"IDAT", PIXEL), (b"IEND", b""))
)
SETTINGS = {
    "model": {"hidden_size": 256, "num_loops": 4, "chunk_size_feed_forward": 0},
    "data": {"data_dir": None, "tasks": 400},
    "training": {"optimizer": "adamw", "seed": 0},
    "pretrain": {"kind": "pretrain", "name": "pretrain", "total_steps": 300, "peak_lr": 0.0012},
    "deeper": {"kind": "pretrain", "name": "deeper", "total_steps": 100, "peak_lr": 1e-4},
    "maxrl": {"kind": "maxrl", "name": "maxrl", "total_steps": 16, "estimator": "maxrl", "mode": "tests"},
    "gate": {"kind": "gate", "name": "gate", "total_steps": 0},
}
SHARE = {"value": 0.25, "low": 0.125, "high": 0.375}
REPORT = {
    "recipe": "debug",
    "description": "The whole chain in minutes.",
    "last_stage": "maxrl",
    "verified_sample": {"texts": 9000, "counts": {"valid": 200, "invalid_syntax": 56}, "external": 2, "problem": None},
    "held_out_blocks": 20,
    "held_out_loss": {"pretrain": [4.5, 4.25], "maxrl": [4.75, 4.5]},
    "compile_rate": 0.5,
    "reinforced": {
        "maxrl": {
            "tasks": 16,
            "samples": 8,
            "solved": [SHARE, SHARE],
            "solved_at_all": [SHARE, SHARE],
            "compiles": [0.0703, SHARE],
        }
    },
    "tokens_seen": 512_000,
    "tokens_per_second": None,
    "parameters": 2_229_761,
    "ternary_parameters": 1_179_648,
    "file_sizes": {"model.safetensors": 8_921_356},
    "prompt": "fn ",
    "completion": "fn main() {}",
    "export": {
        "file_sizes": {"debug-q4_0.gguf": 2_536_352},
        "problem": None,
        "agreement": {"kl": 1e-4, "top1": 0.99, "problems": []},
    },
}


def start_run(folder):
    """A run that has begun its first stage."""
    folder.mkdir(exist_ok=True)
    (folder / "recipe.json").write_text(json.dumps(SETTINGS))
    (folder / "pretrain").mkdir()
    write_lines(folder / "pretrain", pretraining_lines())
    (folder / "pretrain" / "metrics.png").write_bytes(PNG)
    return folder


def finish_run(folder, text="fn f() {"):
    """All that a finished run leaves for its page; `text` is what its model writes."""
    start_run(folder)
    for name, lines in (("deeper", pretraining_lines()), ("maxrl", maxrl_lines("its hidden tests hold"))):
        (folder / name).mkdir()
        write_lines(folder / name, lines)
        (folder / name / "metrics.png").write_bytes(PNG)
    for name in ("pretrain", "deeper", "maxrl"):
        (folder / name / "finished.json").write_text("{}")
    samples = [JudgedSample(text, text, float(index == 5), 0.0, "valid", text) for index in range(6)]
    sample_page.write_page(folder / "maxrl" / "samples" / "step_000008.html", "Step 8", samples)
    (folder / "report.json").write_text(json.dumps(REPORT | {"description": text, "completion": "fn " + text}))
    evaluation = folder / "evaluation" / "report"
    rates = {"compiles@1": {f"problem {index}": float(index < 12) for index in range(24)}}
    metrics = {"compiles@1": Interval(0.5, 0.3125, 0.6875)}
    Results("compilation_success_rate", {}, metrics, rates, {"valid": 12, "refused": 12}).write(evaluation)
    of_all = {"index": 0, "completion": text, "finished": True, "tokens": 3, "mean_loops": None}
    drawn = [{"prompt": f"problem {index}", **of_all} for index in range(24)]
    (evaluation / "compilation_success_rate.samples.jsonl").write_text("{}\n" + "\n".join(map(json.dumps, drawn)))
    judged = [
        {"prompt": f"problem {index}", "index": 0, "status": "valid" if index > 11 else "refused", "errors": []}
        for index in range(24)
    ]
    (evaluation / "compilation_success_rate.verdicts.jsonl").write_text("\n".join(map(json.dumps, judged)))
    return folder


def page_of(folder):
    return Reader(write_page(folder).read_text(encoding="utf-8"))


def test_it_has_the_recipe_the_table_the_settings_and_every_plot(tmp_path):
    page = page_of(finish_run(tmp_path / "run"))
    for words in (
        "debug",
        "200 valid, 56 invalid_syntax",
        "512,000",
        "4.7500",
        "debug-q4_0.gguf",
        "peak_lr",
        "0.0012",
    ):
        assert words in page.text
    embedded = [base64.b64decode(source.partition(",")[2]) for source in page.attribute("img", "src")]
    assert embedded == [PNG] * 3
    assert len(page.attribute("img", "alt")) == 3


def test_compile_rates_have_their_intervals(tmp_path):
    text = " ".join(page_of(finish_run(tmp_path / "run")).text.split())
    # Wilson's interval for 12 of 24.
    assert "compilation_success_rate: compiles@1" in text and "31.4% to 68.6%" in text
    assert "completions that compile, after maxrl" in text and "12.5% to 37.5%" in text


def test_it_shows_completions_successes_first_and_leads_to_all(tmp_path):
    page = page_of(finish_run(tmp_path / "run"))
    reinforced, finished = page.samples[:6], page.samples[6:]
    assert [each["run"] for each in reinforced] == ["maxrl, Step 8"] * 6
    assert [each["kind"] for each in reinforced] == ["success", *["failure"] * 5]
    assert [each["status"] for each in finished] == ["refused"] * 12 + ["valid"] * 12
    (link,) = [target for target in page.attribute("a", "href") if not target.startswith("#")]
    assert (tmp_path / "run" / link).exists()


def test_it_says_what_a_success_of_the_reward_is(tmp_path):
    assert "Success: its hidden tests hold." in page_of(finish_run(tmp_path / "run")).text


def test_it_stands_alone_and_what_a_model_writes_stays_text(tmp_path):
    page = page_of(finish_run(tmp_path / "run", ATTACK))
    page.assert_inert()
    assert page.text.count("<script>") >= 4 and "{{ 7 * 7 }}" in page.text


def test_a_run_that_is_not_finished_has_a_page_of_what_is_there(tmp_path):
    page = page_of(start_run(tmp_path / "run"))
    assert "Stage pretrain: not finished" in page.text and "Stage maxrl: did not run" in page.text
    assert "The run has not come to its closing report." in page.text
    assert len(page.attribute("img", "src")) == 1


def test_a_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="run_dir must be the folder of a run, which holds recipe.json"):
        write_page(tmp_path)
