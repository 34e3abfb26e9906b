"""The model that a run adapts: it is converted, looped and made ternary in the run's folder before the training."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from transformers import PreTrainedTokenizerBase

from evaluation.complete_files import complete_file
from evaluation.models.opening import is_gguf
from model_cards.checkpoint import TOKENIZER_FILES
from modeling_nanochat import LoopLMConfig
from recipes.pipeline.fields import check
from recipes.pipeline.file_names import SOURCE
from recipes.pipeline.initial_model import InitialModel
from recipes.pipeline.schema import Recipe
from recipes.pipeline.source_settings import (
    COMPARED,
    DENSE,
    LOOPED,
    PUBLISHED_NAMES,
    TERNARY,
    SourceSettings,
    changes_from,
)
from recipes.pipeline.stages.stage import FINISHED
from trainers.conversion.looping import loop_model
from trainers.conversion.opening import open_source
from trainers.conversion.source import Source
from trainers.conversion.stand_in import write_random_checkpoint
from trainers.conversion.ternarizing import ternarize_model
from trainers.conversion.writing import write_model
from trainers.data.fill_in_the_middle import FimTokens
from trainers.data.sources import BUILTIN_RUST
from trainers.data.tokenizer import train_tokenizer

console = Console(highlight=False)


def check_source(source: SourceSettings) -> None:
    """
    Check what can be known of a source before anything is written, without the network.

    Raises:
        ValueError: It is a path at which nothing is.
    """
    model = source.model
    is_name = model.count("/") == 1 and not model.startswith((".", "/")) and not is_gguf(model)
    rule = "a folder or a GGUF file that exists, or a name on the Hub"
    check(source.section, "model", model, rule, is_name or Path(model).exists())


def make_source(recipe: Recipe, run: Path) -> Recipe:
    """
    Convert, loop and make ternary the model that a recipe adapts. Steps that are finished are kept; one that was
    killed is made again.

    Args:
        recipe: The recipe.
        run: Folder of the run, or the one in which a new run is prepared.

    Returns:
        The recipe that starts from the result, as with `--init-from`; the recipe itself if it adapts no model.

    Raises:
        ValueError: The model does not exist or cannot be converted, is not the one that was published, or cannot be
            looped or made ternary; its tokenizer has another size than the recipe says.
    """
    source, folder = recipe.source, run / SOURCE
    if source is None or (folder / FINISHED).exists():
        return with_source(recipe, run)
    folder.mkdir(parents=True, exist_ok=True)
    for killed in folder.glob(".*"):
        shutil.rmtree(killed)
    previous = folder
    for name in source.steps:
        target = folder / name
        if not target.exists():
            console.print(f"Source: {name}, from {source.model if name == DENSE else previous.name}", markup=False)
            _STEPS[name](source, previous, target)
        previous = target
    initial = InitialModel.read(previous)
    with complete_file(folder / FINISHED) as file:
        file.write_text(json.dumps({"files": dict(initial.files)}, indent=2) + "\n")
    return with_source(recipe, run)


def with_source(recipe: Recipe, run: Path) -> Recipe:
    """
    The recipe that starts from the finished source in a folder; the recipe itself if it adapts no model.

    Raises:
        ValueError: The tokenizer has another size than the recipe says, or a changed setting of the model does not
            fit its weights.
    """
    source = recipe.source
    if source is None:
        return recipe
    folder = (run / SOURCE).resolve()
    files = json.loads((folder / FINISHED).read_text())["files"]
    initial = InitialModel(folder=folder / source.steps[-1], files=files)
    tokenizer = initial.tokenizer()
    rule = f"{len(tokenizer)}, the number of tokens of the tokenizer of {source.model}"
    check("data", "vocab_size", recipe.data.vocab_size, rule, recipe.data.vocab_size == len(tokenizer))
    if recipe.data.fim_rate:
        FimTokens.of(tokenizer)
    model = initial.config_with(changes_from(source.model_config(), recipe.model))
    return replace(recipe, init_from=initial, model=model)


def write_stand_in_source(recipe: Recipe, folder: Path) -> int:
    """
    Write a small random checkpoint of the family of a recipe's source, with a tokenizer of built-in Rust, for a dry
    run. Returns the number of tokens.
    """
    assert recipe.source is not None, "the caller asks for the stand-in of a source"
    texts = (path.read_text(encoding="utf-8") for path in sorted(BUILTIN_RUST.glob("*.rs")))
    tokenizer = train_tokenizer(texts, recipe.data.vocab_size, recipe.data.seq_len, recipe.data.fim_rate > 0)
    write_random_checkpoint(recipe.source.published, tokenizer, folder)
    return len(tokenizer)


def _convert(source: SourceSettings, _: Path, target: Path) -> None:
    opened = open_source(source.model)
    _compare(source, opened.config)
    write_model(_with_special_tokens(opened, source.model), target)


def _loop(source: SourceSettings, model: Path, target: Path) -> None:
    assert source.num_loops is not None, "else this is no step of it"
    core, layers = source.core_range(), source.core_layers
    looped = loop_model(model, target, source.num_loops, core, layers, whole_stack=source.whole_stack)
    start, end = looped.core
    console.print(f"The core is layers {start} to {end - 1} of {looped.num_layers}, in {looped.num_loops} loops")


def _ternarize(source: SourceSettings, model: Path, target: Path) -> None:
    ternarize_model(model, target, source.group_size, source.rotate)


_STEPS: dict[str, Callable[[SourceSettings, Path, Path], None]] = {
    DENSE: _convert,
    LOOPED: _loop,
    TERNARY: _ternarize,
}


def _compare(source: SourceSettings, found: LoopLMConfig) -> None:
    """Raise `ValueError` if a model has not the shape that its published configuration says."""
    published, own = source.dense_config().to_dict(), found.to_dict()
    for name in COMPARED:
        if published[name] != own[name]:
            theirs = PUBLISHED_NAMES.get(name, name)
            raise ValueError(
                f"source.published has {theirs}={published[name]}, but the model in {source.model} has {own[name]}: "
                "name the model that was published, or give the fields of its config.json in a recipe of your own"
            )


def _with_special_tokens(opened: Source, name: str) -> Source:
    """
    Give the tokenizer the tokens that training needs and it may lack: for the beginning and for padding, those of
    config.json, else the one that ends a text.
    """
    tokenizer = opened.tokenizer
    if tokenizer is None:
        raise ValueError(f"source.model must have a tokenizer (tokenizer.json), got none in {name}")
    missing = [token for token in ("bos_token", "pad_token") if _id_of(tokenizer, token) is None]
    if not missing or tokenizer.eos_token is None:
        return opened
    values = opened.config.to_dict()
    for token in missing:
        configured = values[f"{token}_id"]
        text = tokenizer.eos_token if configured is None else tokenizer.convert_ids_to_tokens(configured)
        tokenizer.add_special_tokens({token: text})
    copied = [path for path in opened.copied if path.name not in TOKENIZER_FILES]
    return replace(opened, copied=copied, tokenizer=tokenizer, saves_tokenizer=True)


def _id_of(tokenizer: PreTrainedTokenizerBase, token: str) -> int | None:
    return tokenizer.bos_token_id if token == "bos_token" else tokenizer.pad_token_id
