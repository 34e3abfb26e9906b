"""Options of every recipe and the meaning of its settings; without PyTorch, so that `--help` answers at once."""

import argparse
import ast
import inspect
import re
from pathlib import Path

from evaluation.options import HelpFormatter
from recipes.pipeline.data_settings import DataSettings
from recipes.pipeline.fields import meaning, names
from recipes.pipeline.hardware_settings import HardwareSettings
from recipes.pipeline.schema import TrainingSettings
from recipes.pipeline.source_settings import SourceSettings
from recipes.pipeline.stages.kinds import KINDS

ENTRY = re.compile(r"^ {4}(\w+) \(.*?\): (.*(?:\n {8}.*)*)", re.MULTILINE)
ROOT = Path(__file__).parents[2]
SCHEDULES = ("ouro",)


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a recipe, and the meaning of every setting below them."""
    parser.formatter_class, parser.epilog = HelpFormatter, explanation()
    add_data_options(parser)
    parser.add_argument("--seed", type=int, help="seed of weights and data order (default: the recipe's, 0)")
    parser.add_argument(
        "--total-steps",
        type=int,
        help="steps of the first stage; its warmup and decay are scaled (default: the recipe's)",
    )
    parser.add_argument(
        "--schedule",
        choices=SCHEDULES,
        help="divide the first stage: ouro has the five stages of the Ouro paper (default: the recipe's own stages)",
    )
    parser.add_argument(
        "--stage",
        help="run only this stage, from the model of the one before it, which needs --resume; 'prepare' only prepares "
        "the data (default: all stages)",
    )
    parser.add_argument(
        "--stop-after",
        type=float,
        metavar="SECONDS",
        help="end the training at a checkpoint after this time, counted from the start of the command; --resume goes "
        "on (default: no limit). The run is complete when its folder has report.json",
    )
    action = parser.add_mutually_exclusive_group()
    action.add_argument(
        "--resume", action="store_true", help="continue the run in the output folder, with the settings it has"
    )
    action.add_argument("--overwrite", action="store_true", help="replace the run in the output folder by a new one")
    action.add_argument("--show", action="store_true", help="print every setting, its value and meaning, and stop")
    action.add_argument(
        "--plan",
        action="store_true",
        help="print parameters, memory, speed and days of the run, computed from its settings, and stop; with "
        "--stage, up to that stage",
    )
    action.add_argument(
        "--dry-run", action="store_true", help="run two steps of every stage at toy size, in a temporary folder"
    )
    parser.add_argument(
        "--gpu",
        metavar="NAME",
        help="GPU for --plan, such as 'RTX 4090' (default: the recipe's, else this machine's, else an RTX 4090)",
    )
    parser.add_argument("--num-gpus", type=int, help="number of these GPUs, for --plan (default: the recipe's)")


def add_data_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say where text comes from and where the run lies, and the change of any setting."""
    parser.add_argument(
        "--data-dir",
        type=Path,
        help="folder with .rs files to train on (default: the documentation of the installed Rust toolchain)",
    )
    parser.add_argument(
        "--source",
        action="append",
        default=[],
        metavar="KIND=PLACE",
        dest="sources",
        help="text to train on, such as crates=FOLDER (`nanochat-ternary data sources` lists the kinds); repeatable",
    )
    parser.add_argument(
        "--init-from",
        type=Path,
        metavar="FOLDER",
        help="folder of a saved model, with latent weights and a tokenizer, that the first stage starts from: one of "
        "a former run, or one that `nanochat-ternary convert` wrote (default: a new model and tokenizer)",
    )
    parser.add_argument("--output-dir", type=Path, help="parent of the run's folder (default: runs)")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", dest="changes", help="change a setting; repeatable"
    )


def explanation() -> str:
    """The meaning of every setting, for `--help`."""
    lines = ["settings for --set NAME=VALUE (those of a stage begin with the stage's name):"]
    lines += [f"  model.{name}: {text}" for name, text in model_meanings().items()]
    for owner in (DataSettings, TrainingSettings, HardwareSettings, SourceSettings, *KINDS.values()):
        # A kind that only narrows another one has that one's settings.
        base = next((kind for kind in KINDS.values() if kind in owner.__mro__[1:]), None)
        others = () if base is None else names(base)
        if base is not None:
            lines.append(f"  {owner.section}.NAME: as {base.section}.NAME")
        fields = (name for name in names(owner) if name != "name" and name not in others)
        lines += [f"  {owner.section}.{name}: {meaning(owner, name)}" for name in fields]
    # argparse formats it.
    return "\n".join(lines).replace("%", "%%")


def model_meanings() -> dict[str, str]:
    """The meaning of each field of the model's configuration, from its source, which need not be imported for it."""
    source = (ROOT / "modeling_nanochat" / "configuration_nanochat.py").read_text(encoding="utf-8")
    (owner,) = (
        node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == "LoopLMConfig"
    )
    docstring = inspect.cleandoc(ast.get_docstring(owner) or "")
    return {name: " ".join(text.split()) for name, text in ENTRY.findall(docstring)}
