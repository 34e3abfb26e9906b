"""A run as one HTML page: its table, settings, plots, rates and completions, read from the files in its folder."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from evaluation.pages.html import data_uri, render, write_whole
from evaluation.pages.samples import ShownSample, pack
from evaluation.report.runs import Run
from evaluation.report.samples import shown_samples
from evaluation.results import Results
from evaluation.training_curves import read_metrics
from recipes.pipeline.folder import read_settings, stage_settings
from recipes.pipeline.stages.evaluated import Metric
from trainers.reinforcement.plots import meaning_of_success
from trainers.reinforcement.sample_page import INDEX, SamplePage

PAGE = "report.html"
TEMPLATES = Path(__file__).with_name("templates")
# What tells two runs apart; all other settings are folded away.
MAIN_SETTINGS = {
    "model": (
        "hidden_size",
        "intermediate_size",
        "num_shared_layers",
        "num_loops",
        "num_prelude_layers",
        "num_coda_layers",
        "loop_update",
        "num_attention_heads",
        "num_key_value_heads",
        "vocab_size",
        "max_position_embeddings",
        "ternary",
        "ternary_group_size",
        "activation_bits",
        "mhc_num_streams",
        "exit_entropy_weight",
    ),
    "data": (
        "data_dir",
        "seq_len",
        "synthetic_samples",
        "variants",
        "tasks",
        "max_task_tier",
        "compile_tasks",
        "compile_functions",
        "functions",
        "mix",
    ),
    "training": ("optimizer", "muon_lr", "lion_lr", "grad_clip", "checkpointing", "seed"),
}
FINISHED_MODEL = "finished model"

Row = tuple[str, ...]


@dataclass(frozen=True)
class StagePart:
    """
    What the page shows of a stage.

    Attributes:
        name: Of the stage and its folder.
        status: "finished", "not finished" or "did not run".
        success: What its reward asks for; None of a stage that reads text.
        plot: Its `metrics.png` as a data URI; None where too little was logged.
        evaluations: A row for each evaluation during the stage.
        title: Of the last page of samples; None without one.
        samples: That page's samples.
        link: To the index of all pages, from the run's folder.
    """

    name: str
    status: str
    success: str | None
    plot: str | None
    evaluations: list[Row]
    title: str | None
    samples: list[ShownSample]
    link: str


def write_page(run_dir: Path) -> Path:
    """
    Writes `report.html` into a run's folder. The page holds its plots, so that it can be copied alone; what the run
    has not come to yet is left out.

    Raises:
        ValueError: There is no run in the folder.
    """
    settings = read_settings(run_dir, {})
    if settings is None:
        raise ValueError(f"run_dir must be the folder of a run, which holds recipe.json, got {run_dir}")
    report = _read(run_dir / "report.json")
    stages = [_stage(run_dir, name) for name, values in stage_settings(settings).items() if values.get("total_steps")]
    evaluation = run_dir / "evaluation" / "report"
    results = [Results.read(path) for path in Results.files(evaluation)]
    run = Run(FINISHED_MODEL, evaluation, tuple(results))
    samples = pack(
        chain(
            (sample for stage in stages for sample in stage.samples),
            chain.from_iterable(shown_samples(run, found) for found in results),
        )
    )
    page = render(
        "report.html",
        [TEMPLATES],
        samples if samples.total else None,
        title=report.get("recipe", run_dir.name),
        report=report,
        stages=stages,
        losses=report.get("held_out_loss", {}),
        table=list(_table(report)),
        rates=[*_measured(results), *_reinforced(report)],
        settings=list(_main_settings(settings)),
        all_settings=json.dumps(settings, indent=2),
    )
    return write_whole(run_dir / PAGE, page)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _stage(run_dir: Path, name: str) -> StagePart:
    folder = run_dir / name
    logs, evaluations = read_metrics(folder)
    pages = sorted((folder / "samples").glob("*.json"))
    last = SamplePage.read(pages[-1]) if pages else None
    success = meaning_of_success(logs) if any("success_rate" in entry for entry in logs) else None
    status = "finished" if (folder / "finished.json").exists() else "not finished" if logs else "did not run"
    samples = [] if last is None else list(last.shown(f"{name}, {last.title}"))
    return StagePart(
        name,
        status,
        success,
        data_uri(folder / "metrics.png"),
        [_evaluation(entry) for entry in evaluations],
        last and last.title,
        samples,
        f"{name}/samples/{INDEX}",
    )


def _evaluation(entry: Mapping[str, Any]) -> Row:
    """Step, held-out loss with its number of blocks, and completions that compile."""
    loss = f"{entry['eval_loss']:.4f}" if "eval_loss" in entry else ""
    if "eval_blocks" in entry:
        loss += f" ({entry['eval_blocks']} blocks)"
    compiles = ""
    if "eval_compiles" in entry and "eval_compiles_of" in entry:
        count = entry["eval_compiles_of"]
        compiles = f"{round(entry['eval_compiles'] * count)} of {count}"
    return f"{entry['step']:,}", loss, compiles


def _table(report: Mapping[str, Any]) -> Iterator[Row]:
    """The closing table, as far as the report has it."""
    sample = report.get("verified_sample")
    if sample:
        counts = ", ".join(f"{count} {status}" for status, count in sample["counts"].items())
        yield f"rustc on {sum(sample['counts'].values())} of {sample['texts']:,} texts", sample["problem"] or counts
    if isinstance(report.get("compile_rate"), str):
        yield "completions that compile", report["compile_rate"]
    if "tokens_seen" in report:
        yield "tokens seen", f"{report['tokens_seen']:,}"
        speed = report["tokens_per_second"]
        yield "speed, evaluations included", "not measured" if speed is None else f"{speed:,.0f} tokens/s"
        yield "parameters", f"{report['parameters']:,}, of them ternary {report['ternary_parameters']:,}"
        for name, size in report["file_sizes"].items():
            yield f"model: {name}", f"{size / 1e6:,.3f} MB"
    evaluated = report.get("evaluate", {})
    for metric in evaluated.get("metrics", []):
        yield Metric.from_json(metric).row()
    for suite, reason in evaluated.get("not_run", {}).items():
        yield f"{suite} did not run", reason
    export = report.get("export", {})
    for name, size in export.get("file_sizes", {}).items():
        yield f"exported: {name}", f"{size / 1e6:,.3f} MB"
    if export.get("problem"):
        yield "not exported", export["problem"]
    agreement = export.get("agreement")
    if agreement:
        values = f"KL {agreement['kl']:.1e} nats, likeliest token equal at {agreement['top1']:.1%}"
        yield "llama.cpp and the model", "\n".join([*(agreement["problems"] or ["agree"]), values])


def _measured(results: list[Results]) -> Iterator[Row]:
    """Rows of the finished model: metric, number of problems, value and interval."""
    for found in results:
        for name, interval in found.metrics.items():
            yield f"{found.benchmark}: {name}", f"{found.num_problems} {found.unit}", *_share(asdict(interval))


def _reinforced(report: Mapping[str, Any]) -> Iterator[Row]:
    """Rows of each stage of reinforcement learning, before and after."""
    for stage, found in report.get("reinforced", {}).items():
        of = f"{found['tasks']} held-out tasks x {found['samples']}"
        names = {"compiles": "completions that compile", "solved": "pass@1, all hidden tests hold"}
        if found["samples"] > 1:
            names["solved_at_all"] = f"pass@{found['samples']}, all hidden tests hold"
        for key, name in names.items():
            for when, share in zip(("before", "after"), found[key], strict=True):
                yield f"{name}, {when} {stage}", of, *_share(share)


def _share(share: float | Mapping[str, float | None]) -> Row:
    """Value and 95 % interval; a bare number and a single problem have none."""
    if not isinstance(share, Mapping):
        return f"{share:.1%}", ""
    known = share["low"] is not None
    return f"{share['value']:.1%}", f"{share['low']:.1%} to {share['high']:.1%}" if known else "none, of one value"


def _main_settings(settings: dict[str, dict[str, Any]]) -> Iterator[tuple[str, list[Row]]]:
    """Sections with names and values; those of stages without what is not set."""
    stages = stage_settings(settings)
    for section, values in settings.items():
        names = [name for name in MAIN_SETTINGS.get(section, values) if name in values]
        if section in stages:
            names = [name for name in names if name != "name" and values[name] is not None]
        yield section, [(name, json.dumps(values[name])) for name in names]
