"""Record of a model's training, read from the folder of the run that trained it."""

from dataclasses import dataclass, field
from pathlib import Path

from model_cards.checkpoint import read_json

NOT_RECORDED = "not recorded"
FIRST_STAGE, GATE_STAGE, EXPORT = "pretrain", "gate", "export"
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
        default_factory=lambda: {"Training data": NOT_RECORDED, "Training": NOT_RECORDED},
    )
    rewarded: str | None = None

    @classmethod
    def from_model_folder(cls, folder: Path) -> "TrainingRecord":
        """
        Read the record of a model that a recipe run saved in `RUN/STAGE/model` or `RUN/export/packed`. A model in any
        other folder has the default record, which says that nothing was recorded.
        """
        stage_folder = folder.absolute().parent
        run = stage_folder.parent
        if stage_folder.name == EXPORT and (stage_folder / "finished.json").is_file():
            stage_folder = run / read_json(stage_folder / "finished.json")["stage"]
        if not (run / "recipe.json").is_file() or not (stage_folder / "finished.json").is_file():
            return cls()
        recipe = read_json(run / "recipe.json")
        stages = _stages(recipe)
        if stage_folder.name not in stages:
            return cls()
        done = list(stages)[: list(stages).index(stage_folder.name) + 1]
        lines = _data(recipe["data"], run / "prepare")
        for name in done:
            lines[f"Stage `{name}`"] = _stage(stages[name], run / name)
        lines["Optimizer"] = f"{recipe['training']['optimizer']}, peak learning rate {stages[done[0]]['peak_lr']}"
        lines["Hardware, duration"] = NOT_RECORDED
        rewarded = [REWARDED[stages[name]["mode"]] for name in done if "num_generations" in stages[name]]
        return cls(lines, rewarded[-1] if rewarded else None)


def _stages(recipe: dict) -> dict[str, dict]:
    """The settings of the stages that trained, by name and in their order, from either form of `recipe.json`."""
    stages = {name: values for name, values in recipe.items() if "kind" in values}
    if not stages:
        # An earlier version kept the first stage and the gate's in "training", and the others in "stages.NAME".
        training = recipe["training"]
        stages = {FIRST_STAGE: training | {"seq_len": recipe["data"]["seq_len"]}}
        stages |= {key.removeprefix("stages."): values for key, values in recipe.items() if key.startswith("stages.")}
        stages[GATE_STAGE] = {"total_steps": training.get("gate_steps", 0)}
    return {name: values for name, values in stages.items() if values.get("total_steps")}


def _data(data: dict, prepared: Path) -> dict[str, str]:
    own = "a folder of `.rs` files (not published)"
    toolchain = "documentation and sources of the Rust toolchain (MIT OR Apache-2.0)"
    text = toolchain if data["data_dir"] is None else own
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


def _stage(settings: dict, folder: Path) -> str:
    steps = f"{settings['total_steps']:,} steps"
    finished = read_json(folder / "finished.json") if (folder / "finished.json").is_file() else {}
    if "num_generations" in settings:
        prompts = f"{settings['prompts_per_step']} prompts x {settings['num_generations']} completions"
        rewarded = REWARDED[settings["mode"]]
        words = f"reinforcement learning ({settings['estimator']}), {steps} of {prompts}, rewarding {rewarded}"
        if "solved" in finished:
            solved, compiles = (
                " before and ".join(f"{e['value']:.1%} ({e['low']:.1%} to {e['high']:.1%})" for e in finished[name])
                for name in ("solved", "compiles")
            )
            words += f"; share of {finished['tasks']} held-out tasks solved: {solved} after"
            words += f"; share of completions that compile: {compiles} after"
        return words
    words = steps if "seq_len" not in settings else f"{steps}, {settings['seq_len']:,} tokens per block"
    return words + (f", {finished['tokens']:,} tokens" if "tokens" in finished else "")
