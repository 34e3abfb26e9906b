"""A recipe's settings by name: to show them, to explain them, to change them from the command line."""

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches
from inspect import get_annotations
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from evaluation.tables import print_table
from recipes.pipeline.data_settings import DataSettings
from recipes.pipeline.design.hints import hint
from recipes.pipeline.fields import Settings, check, meaning, names, parse, value_of, values_of
from recipes.pipeline.hardware_settings import HardwareSettings
from recipes.pipeline.options import model_meanings
from recipes.pipeline.schema import Recipe, TrainingSettings
from recipes.pipeline.source_settings import SourceSettings

if TYPE_CHECKING:
    from modeling_nanochat import LoopLMConfig
    from recipes.pipeline.initial_model import InitialModel

FIRST_STAGE = "pretrain"
FORMER_NAMES = {
    f"training.{name}": f"{FIRST_STAGE}.{name}"
    for name in ("total_steps", "warmup_steps", "decay_steps", "batch_size", "peak_lr", "min_lr")
} | {"training.gate_steps": "gate.total_steps", "training.gate_lr": "gate.peak_lr"}
"""Settings of the first stage and of the gate's, which used to be among those that all stages share."""


def sections(recipe: Recipe) -> Iterator[tuple[str, Settings]]:
    """The parts of a recipe whose fields are declared, with their names."""
    yield DataSettings.section, recipe.data
    yield TrainingSettings.section, recipe.training
    yield HardwareSettings.section, recipe.hardware
    if recipe.source is not None:
        yield SourceSettings.section, recipe.source
    yield from ((stage.name, stage) for stage in recipe.stages)


def settings(recipe: Recipe) -> dict[str, Any]:
    """Every setting of a recipe by its name, such as `training.muon_lr` or `pretrain.peak_lr`."""
    found = {f"model.{name}": value for name, value in model_settings(recipe.model).items()}
    for section, part in sections(recipe):
        found |= {f"{section}.{name}": value for name, value in values_of(part).items() if name != "name"}
    return found


def model_settings(model: "LoopLMConfig") -> dict[str, Any]:
    """The settings of a model that a recipe may change."""
    from modeling_nanochat.configuration_nanochat import FIELD_RULES

    values = model.to_dict()
    return {name: values[name] for name in (*FIELD_RULES, "rope_parameters") if name in values}


def present_name(name: str) -> str:
    """The name of a setting today; `stages.` used to stand before those of stages."""
    name = name.removeprefix("stages.")
    return FORMER_NAMES.get(name, name)


def _alternatives(name: str, known: Collection[str]) -> str:
    """Return what could have been meant: a setting with nearly this name, or those of its section."""
    section, _, last = name.rpartition(".")
    own = [each.removeprefix(f"{section}.") for each in known if each.startswith(f"{section}.")]
    if own and not get_close_matches(last, own):
        return f"; {section} has {', '.join(own)}"
    return f"; the nearest is {get_close_matches(name, known, n=1, cutoff=0.0)[0]} (--show lists all)"


def with_settings(recipe: Recipe, changes: list[str], initial: "InitialModel | None" = None) -> Recipe:
    """
    A recipe with some settings changed, each given as `name=value`.

    Args:
        recipe: The recipe.
        changes: The settings.
        initial: Model that the recipe starts from instead of a new one; its configuration takes the place of the
            recipe's model.

    Raises:
        ValueError: A name does not exist (the message has the nearest one), a value breaks its rule, or the settings
            contradict each other.
    """
    known = settings(recipe)
    owners: Mapping[str, Settings] = dict(sections(recipe))
    changed: dict[str, dict[str, Any]] = {}
    for change in changes:
        given, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"--set needs name=value, got {change!r}")
        name = present_name(given)
        if name not in known:
            wanted, _, last = name.rpartition(".")
            # A recipe may call its stages otherwise than their kind.
            of_kind = [f"{each.name}.{last}" for each in recipe.stages if each.section == wanted]
            instead = hint(wanted, last, known, [each for each in of_kind if each in known])
            if instead is not None:
                raise ValueError(f"--set {given} is no setting of this recipe: {instead}")
            raise ValueError(f"--set {given} is no setting of this recipe{_alternatives(name, known)}")
        section, _, field = name.rpartition(".")
        if section == "model":
            value = parse(get_annotations(type(recipe.model))[field], text)
            if field == "rope_parameters":
                check("model", field, value, "a dictionary or None", isinstance(value, Mapping | None))
                check("model", field, value, "a dictionary by names", all(isinstance(key, str) for key in value or ()))
        else:
            value = value_of(type(owners[section]), field, text)
        changed.setdefault(section, {})[field] = value
    if "seq_len" in changed.get("data", {}):
        # Stages whose blocks are those that are packed follow.
        for stage in recipe.stages:
            if stage.longest_block == recipe.data.seq_len:
                changed[stage.name] = {"seq_len": changed["data"]["seq_len"]} | changed.get(stage.name, {})
    if initial is None:
        return recipe.changed(**changed)
    return _starting_from(initial, recipe, changed)


def _starting_from(initial: "InitialModel", recipe: Recipe, changed: dict[str, dict[str, Any]]) -> Recipe:
    """The recipe with a saved model in place of its own, and some settings changed. Raises `ValueError`."""
    from trainers.data.fill_in_the_middle import FimTokens

    if SourceSettings.section in changed:
        raise ValueError("--init-from takes the place of the model that the settings of source name: leave those out")
    tokenizer, data = initial.tokenizer(), changed.pop("data", {})
    given = data.setdefault("vocab_size", len(tokenizer))
    rule = f"{len(tokenizer)}, the number of tokens of the tokenizer in {initial.folder}"
    check("data", "vocab_size", given, rule, given == len(tokenizer))
    model = initial.config_with(changed.pop("model", {}))
    changed_recipe = recipe.changed(**changed, data=data, model=model, source=None, init_from=initial)
    if changed_recipe.data.fim_rate:
        FimTokens.of(tokenizer)
    return changed_recipe


def parameters(recipe: Recipe) -> tuple[int, int]:
    """Number of the model's parameters, and of those that are ternary; counted without allocating them."""
    import torch

    from modeling_nanochat import BitLinear, LoopLMForCausalLM

    with torch.device("meta"):
        model = LoopLMForCausalLM(recipe.model)
    ternary = sum(module.weight.numel() for module in model.modules() if isinstance(module, BitLinear))
    return sum(parameter.numel() for parameter in model.parameters()), ternary


def show(recipe: Recipe, console: Console) -> None:
    """Print every setting with its value and meaning, and the size of the stages."""
    table = Table(title=f"{recipe.name}: {recipe.description}", title_justify="left")
    for column in ("setting", "value", "meaning"):
        table.add_column(column)
    explained = model_meanings()
    for name, value in model_settings(recipe.model).items():
        table.add_row(f"model.{name}", str(value), explained.get(name, ""))
    for section, part in sections(recipe):
        table.add_section()
        for name in names(type(part)):
            if name != "name":
                table.add_row(f"{section}.{name}", str(getattr(part, name)), meaning(type(part), name))
    print_table(console, table, prose=["value", "meaning"])
    if recipe.source is not None:
        steps = ", ".join(recipe.source.steps)
        console.print(f"The first stage starts from {recipe.source.model}, made {steps}", markup=False)
    if recipe.init_from is not None:
        console.print(f"The first stage starts from the model in {recipe.init_from.folder}", markup=False)
    total, ternary = parameters(recipe)
    console.print(f"{total:,} parameters, {ternary:,} of them ternary")
    for stage in recipe.active_stages:
        console.print(f"stage {stage.name}: {stage.summary()}")
