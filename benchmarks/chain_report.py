"""What `chain.py` measured of a run: its stages, the table of suites by stage, and the page with its plots."""

import json
import random
import shlex
import statistics
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from reporting import Columns, replace_json

from evaluation.figures import legend_below, panels, save
from evaluation.report.overview import Cell, Overview
from evaluation.report.runs import Run
from evaluation.report.samples import shown_samples
from evaluation.results_folder import read_results
from evaluation.training_curves import curve, plot_exits, plot_losses, read_metrics
from recipes.pipeline.folder import as_kept, stage_settings
from recipes.pipeline.hardware_settings import HardwareSettings
from recipes.pipeline.initial_model import SECTION as INIT_FROM
from recipes.pipeline.initial_model import InitialModel
from recipes.pipeline.program import find_recipe
from recipes.pipeline.settings import with_settings
from recipes.pipeline.stages.gate import TrainGate

START = "start"
GREEDY_FOLDER = "greedy"
"""Folder below a stage's results with those of its tasks that were decoded greedily."""
SAMPLED_FOLDER = "sampled"
"""Folder below a stage's results with several samples of each problem of HumanEval-Rust."""
HUMANEVAL_TEMPERATURE = 0.6
SHOWN = 3
"""Completions of each kind on the page."""


@dataclass(frozen=True)
class StageModel:
    """
    A model of the run.

    Attributes:
        name: Of the stage; "start" for the model that the run started from.
        folder: Folder of its results, below that of the chain; in the order of the stages.
        model: Folder of the model.
        metrics: Folder with the stage's `metrics.jsonl`; None for the start.
        is_evaluated: Whether its completions can differ from those of the stage before: a stage that trains only the
            exit gate leaves them as they are at a fixed number of loops.
    """

    name: str
    folder: str
    model: Path
    metrics: Path | None
    is_evaluated: bool = True


@dataclass(frozen=True)
class Step:
    """
    A command of the chain.

    Attributes:
        name: Name of the step.
        stage: Model that it is about; None for one about the last model.
        command: Its words.
        statuses: Exit statuses that are no failure.
    """

    name: str
    stage: StageModel | None
    command: list[str]
    statuses: tuple[int, ...] = (0,)

    @property
    def file_name(self) -> str:
        """Name of its files, without a suffix."""
        return self.name if self.stage is None else f"{self.stage.folder}_{self.name}"


@dataclass(frozen=True)
class Chain:
    """
    A run and the results of its models.

    Attributes:
        run: Folder of the run.
        folder: Folder of the results.
        stages: Its models, the first one first.
        kept: Settings of the run.
        report: Its `report.json`.
    """

    run: Path
    folder: Path
    stages: Sequence[StageModel]
    kept: dict[str, dict[str, Any]] = field(repr=False)
    report: dict[str, Any] = field(repr=False)

    @classmethod
    def of(cls, run: Path, folder: Path) -> "Chain":
        """Read a run that is complete. Raises `ValueError` if it has no models."""
        kept = json.loads((run / "recipe.json").read_text())
        found: list[tuple[str, Path, Path | None, bool]] = []
        if INIT_FROM in kept:
            found.append((START, Path(kept[INIT_FROM]["folder"]), None, True))
        for name, values in stage_settings(kept).items():
            if (run / name / "model" / "config.json").is_file():
                found.append((name, run / name / "model", run / name, values["kind"] != TrainGate.section))
        if not found:
            raise ValueError(f"{run} must hold the models of its stages, got none")
        stages = [
            StageModel(name, f"{index}-{name}", model, metrics, is_evaluated)
            for index, (name, model, metrics, is_evaluated) in enumerate(found)
        ]
        return cls(run, folder, stages, kept, json.loads((run / "report.json").read_text()))

    @property
    def num_loops(self) -> int:
        """Number of loops of the run."""
        return self.kept["model"]["num_loops"]

    @property
    def tasks(self) -> Path:
        """File of the run's tasks, some of which are held out."""
        return self.run / "tasks.jsonl"

    @property
    def held_out_text(self) -> Path:
        """File of the run's held-out text."""
        return self.run / "evaluate" / "held_out.jsonl"

    @property
    def last_results(self) -> Path:
        """Folder of what the run's closing stage measured of its last model."""
        return self.run / "evaluate" / "results"

    def runs(self, below: str = "") -> list[Run]:
        """Results of the models that have some, in the folder of each stage or in one below it."""
        places = {stage.name: self.folder / stage.folder / below for stage in self.stages}
        found = {name: place for name, place in places.items() if any(place.glob("*.json"))}
        return [Run(name, place, tuple(read_results(place))) for name, place in found.items()]

    def overview(self) -> Columns:
        """The headline metrics, a row for each, a column for each model."""
        names = [run.name for run in self.runs()]
        rows: dict[tuple[str, str], list[str]] = {}
        for below, suffix in (("", ""), (SAMPLED_FOLDER, ", sampled"), (GREEDY_FOLDER, ", greedy")):
            decoded = self.runs(below)
            for benchmark, metric, *cells in (*_metrics(decoded, names), *_tasks_in_parts(decoded, names)):
                rows.setdefault((benchmark + suffix, metric), [benchmark + suffix, metric, *cells])
        return Columns(("Suite", "Metric", "Problems", *names), 2, list(rows.values()))

    def losses(self) -> Columns:
        """Loss on the run's held-out text after every loop, by stage."""
        found = self.report["held_out_loss"]
        loops = max(map(len, found.values()))
        rows = [[name, *(f"{value:.4f}" for value in values)] for name, values in found.items()]
        return Columns(("After stage", *(f"loop {loop}" for loop in range(1, loops + 1))), 1, rows)

    def sizes(self) -> Columns:
        """Sizes of the last model's files."""
        exported = (self.report.get("export") or {}).get("file_sizes", {})
        sizes = {"model.safetensors, latent": self.report["file_sizes"]["model.safetensors"], **exported}
        return Columns(("File", "MB"), 1, [[name, f"{size / 1e6:.2f}"] for name, size in sizes.items()])

    def times(self) -> Columns:
        """Steps, time, speed and memory of each stage; "" for what is not recorded."""
        rows = []
        for stage in self.stages:
            if stage.metrics is None or not (stage.metrics / "training_time.json").exists():
                continue
            parts = json.loads((stage.metrics / "training_time.json").read_text())
            logs, _ = read_metrics(stage.metrics)
            speeds = []
            for name, unit in (("tokens_per_second", 1.0), ("model_tflops", 1000.0)):
                found = [entry[name] * unit for entry in logs if name in entry]
                speeds.append(f"{statistics.median(found):,.0f}" if found else "")
            minutes = sum(part["seconds"] for part in parts) / 60
            peaks = [part["peak_bytes"] for part in parts if part.get("peak_bytes") is not None]
            memory = f"{max(peaks) / 1e9:.2f}" if peaks else ""
            rows.append([stage.name, f"{parts[-1]['step']:,}", f"{minutes:.1f}", *speeds, memory])
        titles = ("Stage", "Steps", "Minutes", "Tokens per second", "GFLOP per second", "Peak memory, GB")
        return Columns(titles, 1, rows)

    def reinforced(self) -> Columns | None:
        """Results on the held-out tasks of reinforcement learning, whose families are known; None without any."""
        rows = []
        for stage, found in self.report.get("reinforced", {}).items():
            for name, words in (
                ("solved", "solved, pass@1"),
                ("solved_at_all", "solved by some sample"),
                ("compiles", "compile"),
            ):
                cells = [f"{each['value']:.1%} ({each['low']:.1%} to {each['high']:.1%})" for each in found[name]]
                rows.append([f"{stage}: {words}", f"{found['tasks']} x {found['samples']}", *cells])
        return Columns(("Held-out tasks", "Tasks x samples", "Before", "After"), 1, rows) if rows else None

    def engines(self) -> Columns | None:
        """Tokens per second of the last model in every engine at its own depth; None if they were not measured."""
        path = self.folder / "inference.json"
        if not path.exists():
            return None
        results = json.loads(path.read_text())["results"]
        full = [each for each in results if each["loops"] == max(other["loops"] for other in results)]
        rows = [
            [each["contender"], f"{each['megabytes']:.2f}", f"{each['prompt']:,.0f}", f"{each['decode']:,.0f}"]
            for each in full
        ]
        return Columns(("Engine", "MB", "Prompt tokens per second", "Decoded tokens per second"), 1, rows)

    def agreement(self) -> str:
        """Whether llama.cpp agrees with the model, in a sentence."""
        found = (self.report.get("export") or {}).get("agreement")
        if found is None:
            return "The GGUF file was not compared with the model."
        verdict = "do not agree: " + "; ".join(found["problems"]) if found["problems"] else "agree"
        return (
            f"llama.cpp and the model {verdict} (mean KL {found['kl']:.1e} nats, the likeliest token equal at "
            f"{found['top1']:.1%} of {found['positions']:,} positions)."
        )

    def completions(self, good: bool) -> list[str]:
        """Programs of the last model for held-out tasks, drawn by seed 0: such that pass, or such that do not."""
        run = self.runs()[-1]
        results = next((each for each in run.results if each.benchmark == "tasks"), None)
        if results is None:
            return []
        kind = "success" if good else "failure"
        samples = [each for each in shown_samples(run, results) if each.index == 0 and each.kind == kind]
        chosen = random.Random(0).sample(samples, min(SHOWN, len(samples)))
        return [f"{each.status}:\n\n```rust\n{(each.prompt + each.code).strip()}\n```" for each in chosen]

    def content(self) -> dict[str, Any]:
        """The numbers of the page, for other pages."""
        engines = self.engines()
        tables = {"overview": self.overview(), "losses": self.losses(), "sizes": self.sizes(), "times": self.times()}
        tables |= {} if engines is None else {"engines": engines}
        found = {name: {"titles": table.titles, "rows": table.rows} for name, table in tables.items()}
        return {"recipe": self.report["recipe"], "parameters": self.report["parameters"], **found}


def _metrics(runs: Sequence[Run], names: Sequence[str]) -> Iterator[list[str]]:
    """A row for each headline metric: suite, metric, number of problems, and the values of the named runs."""
    found = Overview.of(runs)
    for place, (benchmark, metric) in enumerate(found.columns):
        cells = {name: cells[place] for name, cells in found.rows}
        yield _row(benchmark, metric, cells, names)


def _tasks_in_parts(runs: Sequence[Run], names: Sequence[str]) -> Iterator[list[str]]:
    """Rows of the solved tasks of each tier, and of those with other parameters and of other families."""
    by_run = {run.name: each for run in runs for each in run.results if each.benchmark == "tasks"}
    metrics = {name for each in by_run.values() for name in each.metrics if name.startswith("pass@1, ")}
    for metric in sorted(metrics):
        cells = {
            name: Cell(each.metrics[metric], len(each.per_problem[metric]), each.unit, True)
            for name, each in by_run.items()
        }
        yield _row("tasks", metric, cells, names)


def _row(benchmark: str, metric: str, cells: Mapping[str, Cell | None], names: Sequence[str]) -> list[str]:
    count = next(f"{cell.count:,}" for cell in cells.values() if cell is not None)
    return [benchmark, metric, count, *(_words(cells.get(name)) for name in names)]


def _words(cell: Cell | None) -> str:
    if cell is None:
        return ""
    limits = cell.interval.limits(".1%" if cell.share else ".3g")
    return f"{cell.value} ({limits})"


def plot(chain: Chain, path: Path) -> None:
    """Plot the losses and exits of the stages on text, and the successes of reinforcement learning."""
    logs = [(stage.name, *read_metrics(stage.metrics)) for stage in chain.stages if stage.metrics is not None]
    figure, axes = panels(2, len(logs))
    for column, (name, entries, evaluations) in enumerate(logs):
        upper, lower = axes[column], axes[len(logs) + column]
        if "success_rate" in entries[-1] or any("success_rate" in entry for entry in entries):
            means = next(entry["success_means"] for entry in entries if "success_means" in entry)
            for metric, label in (("success_rate", means), ("compile_success_rate", "compiles")):
                upper.plot(*curve(entries, metric, 100), label=textwrap.fill(label, 40))
            upper.set(title=f"{name}: samples in training", ylabel="%", ylim=(0, None))
            legend_below(upper)
            lower.plot(*curve(entries, "entropy"), color="tab:blue")
            lower.set(title=f"{name}: entropy of the samples", ylabel="nats per token")
        else:
            plot_losses(upper, entries, evaluations)
            upper.set_title(f"{name}: loss")
            plot_exits(lower, entries, evaluations)
            lower.set_title(f"{name}: exits")
        lower.set_xlabel("optimizer steps")
    save(figure, path)


def train_command(chain: Chain) -> str:
    """The command of the run: the recipe, the model that it started from, and the settings that are not its own."""
    recipe = find_recipe(chain.report["recipe"])()
    words = ["nanochat-ternary", "train", recipe.name]
    if INIT_FROM in chain.kept:
        folder = Path(chain.kept[INIT_FROM]["folder"])
        recipe = with_settings(recipe, [], InitialModel.read(folder))
        words += ["--init-from", folder.name]
    for source in chain.kept["data"]["sources"]:
        kind, given, place = source.partition("=")
        words += ["--source", f"{kind}{given}{Path(place).name}"]
    own = as_kept(recipe)
    own["data"]["sources"] = chain.kept["data"]["sources"]
    for section, values in chain.kept.items():
        for name, value in values.items():
            if section not in (INIT_FROM, HardwareSettings.section) and own.get(section, {}).get(name, value) != value:
                words += ["--set", f"{section}.{name}={value}"]
    return shlex.join(words)


def write_page(chain: Chain, steps: Sequence[Step], path: Path, command: str, header: str) -> None:
    """Write the page and its plots beside it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = path.with_suffix(".png")
    plot(chain, image)
    name = chain.report["recipe"]
    engines, reinforced = chain.engines(), chain.reinforced()
    parts = [
        f"# {name}: every stage, measured",
        f"{chain.report['description'][:1].upper()}{chain.report['description'][1:]}.",
        f"Trained by\n\n```bash\n{train_command(chain)}\n```",
        f"and measured, on {header}, by\n\n```bash\nHF_ALLOW_CODE_EVAL=1 {command}\n```",
        f"![losses, exits and successes by step]({image.name})",
        "## Every suite by stage",
        f"All models run {chain.num_loops} loops. Values in brackets are 95 % intervals over the problems. "
        "Completions are decoded greedily, but those of `tasks` are sampled at temperature 1, as in MaxRL, and those "
        f"of `humaneval_rust, sampled` at temperature {HUMANEVAL_TEMPERATURE}.",
        chain.overview().markdown(),
        "" if reinforced is None else reinforced.markdown(),
        "## Losses by depth",
        "Mean loss on held-out text of the run, in nats per token.",
        chain.losses().markdown(),
        "## Time and memory",
        "Tokens and FLOP per second are medians over the log; FLOP are those of the model, not of recomputation. "
        "The peak is that of the process up to the end of the stage: of its tensors on a GPU, else all of its memory. "
        "[plan.md](../plan.md) plans both for GPUs only.",
        chain.times().markdown(),
        "## Files and engines",
        chain.sizes().markdown(),
        chain.agreement(),
        "" if engines is None else engines.markdown(),
        "## Completions",
        "Programs of the last model for held-out tasks, the first sample of each, drawn by seed. Three that pass:",
        *(chain.completions(good=True) or ["none passed"]),
        "Three that do not:",
        *(chain.completions(good=False) or ["all passed"]),
        "## The commands",
        "```bash\n" + "\n".join(shlex.join(_public(step.command)) for step in steps) + "\n```",
    ]
    path.write_text("\n\n".join(part for part in parts if part) + "\n")
    replace_json(path.with_suffix(".json"), chain.content())
    print(f"Written to {path}, with the plots and the numbers beside it")


def _public(words: Sequence[str]) -> list[str]:
    """The words of a command without the folders of this machine."""
    return [Path(word).name if word.startswith("/") else word for word in words]
