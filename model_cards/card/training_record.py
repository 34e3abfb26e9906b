"""Record of a model's training for its card, read from the folder of the run that trained it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from model_cards.card.run_record import RunRecord, Settings, StageRecord
from model_cards.checkpoint import read_json

NOT_RECORDED = "not recorded"
REWARDED = {"compile": "completions that compile", "tests": "completions that compile and pass hidden tests"}


@dataclass(frozen=True)
class TrainingRecord:
    """
    The training of a model, as lines of its card.

    Attributes:
        lines: Descriptions by title.
        rewarded: What the last stage of reinforcement learning rewarded; None without such a stage.
    """

    lines: dict[str, str] = field(
        default_factory=lambda: {
            "Training data": NOT_RECORDED,
            "Training": NOT_RECORDED,
            "Hardware": NOT_RECORDED,
            "Duration": NOT_RECORDED,
        },
    )
    rewarded: str | None = None

    @classmethod
    def from_model_folder(cls, folder: Path) -> "TrainingRecord":
        """
        Read the record of a model, see [`RunRecord.of_model`]. A model without a run has the default record, which
        says that nothing was recorded.
        """
        run = RunRecord.of_model(folder)
        if run is None or not run.stages:
            return cls()
        lines = data_lines(run.recipe["data"], run.prepared)
        for stage in run.stages:
            lines[f"Stage `{stage.name}`"] = stage_words(stage)
        first = run.stages[0].settings
        lines["Optimizer"] = f"{run.recipe['training']['optimizer']}, peak learning rate {first['peak_lr']}"
        lines["Hardware"] = hardware_words(run.stages)
        lines["Duration"] = total_duration(run.stages)
        rewarded = [REWARDED[stage.settings["mode"]] for stage in run.stages if stage.is_reinforcement]
        return cls(lines, rewarded[-1] if rewarded else None)


def hardware_words(stages: tuple[StageRecord, ...]) -> str:
    """Return the machines that stages trained on, each once."""
    machines = [str(machine) for stage in stages for machine in stage.machines]
    known = "; ".join(dict.fromkeys(machines))
    missing = [stage.name for stage in stages if not stage.machines]
    if not known or not missing:
        return known or NOT_RECORDED
    return f"{known}; of {', '.join(missing)} {NOT_RECORDED}"


def total_duration(stages: tuple[StageRecord, ...]) -> str:
    """Return the duration of the training of stages together, and say of which it was not recorded."""
    known = [stage.seconds for stage in stages if stage.seconds is not None]
    missing = [stage.name for stage in stages if stage.seconds is None]
    if not known:
        return NOT_RECORDED
    return duration(sum(known)) + (f", without {', '.join(missing)}, where it was {NOT_RECORDED}" if missing else "")


def duration(seconds: float) -> str:
    """Return a duration in words."""
    for size, unit in ((86400, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} seconds"


def data_lines(data: Settings, prepared: Path) -> dict[str, str]:
    """Return the training text, and the compiler's verdicts on a sample of it, as lines by title."""
    own = "a folder of `.rs` files (not published)"
    toolchain = "documentation and sources of the Rust toolchain (MIT OR Apache-2.0)"
    # "crates=FOLDER": the kind says what it is, the folder is nobody's business.
    named = ", ".join(dict.fromkeys(source.partition("=")[0] for source in data.get("sources") or ()))
    has_own = data.get("data_dir") is not None
    parts = (
        (own, has_own),
        (toolchain, data.get("toolchain_docs") if has_own else not named),
        (f"sources {named}", bool(named)),
    )
    text = ", ".join(words for words, used in parts if used)
    if (prepared / "finished.json").is_file():
        text += f", {read_json(prepared / 'finished.json')['texts']:,} texts"
    made = {
        "synthetic_samples": "{:,} synthetic programs that compile and pass their tests",
        "variants": "rewritten variants of the texts that still compile, a share of {} for each kind of rewriting",
        "tasks": "{:,} tasks with hidden tests, half of them with their solutions",
    }
    text += "".join("; " + words.format(data[name]) for name, words in made.items() if data.get(name))
    lines = {"Training text": text}
    if (prepared / "verification.json").is_file():
        sample = read_json(prepared / "verification.json")
        counts = ", ".join(f"{count:,} {status}" for status, count in sample["counts"].items())
        lines["Verdicts of rustc on a sample of it"] = sample["problem"] or (
            f"{counts} ({sample['external']:,} fail only because of missing crates or files)"
        )
    return lines


def stage_words(stage: StageRecord) -> str:
    """Return the size of a stage in words, and what it reached in reinforcement learning."""
    settings, finished = stage.settings, stage.finished
    steps = f"{settings['total_steps']:,} step{'' if settings['total_steps'] == 1 else 's'}"
    if stage.is_reinforcement:
        prompts = f"{settings['prompts_per_step']} prompts x {settings['num_generations']} completions"
        rewarded = REWARDED[settings["mode"]]
        words = f"reinforcement learning ({settings['estimator']}), {steps} of {prompts}, rewarding {rewarded}"
        if "solved" in finished:
            solved, compiles = (before_and_after(finished[name]) for name in ("solved", "compiles"))
            words += f"; share of {finished['tasks']} held-out tasks solved: {solved}"
            words += f"; share of completions that compile: {compiles}"
        return words
    words = steps if "seq_len" not in settings else f"{steps}, {settings['seq_len']:,} tokens per block"
    return words + (f", {stage.tokens:,} tokens" if stage.tokens else "")


def before_and_after(shares: Sequence[Mapping[str, float] | float]) -> str:
    """Return a share with its interval before and after a stage."""
    return " before and ".join(map(_share, shares)) + " after"


def _share(found: Mapping[str, float] | float) -> str:
    if not isinstance(found, Mapping):
        # A run of an earlier version, which kept no interval.
        return f"{found:.1%}"
    return f"{found['value']:.1%} ({found['low']:.1%} to {found['high']:.1%})"
