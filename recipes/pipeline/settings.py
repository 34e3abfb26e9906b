"""A recipe's settings by name: to show them, to explain them, to change them from the command line."""

import dataclasses
import inspect
from difflib import get_close_matches
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from evaluation.tables import print_table
from modeling_nanochat import BitLinear, LoopLMConfig, LoopLMForCausalLM
from modeling_nanochat.configuration_nanochat import FIELD_RULES
from recipes.pipeline.options import documented_fields
from recipes.pipeline.schema import DataRecipe, ExportRecipe, Recipe, TrainingRecipe
from trainers.stages import MaxRLStage
from trainers.typed_settings import annotations, check, described, is_of, value_of

SECTIONS = {"model": LoopLMConfig, "data": DataRecipe, "training": TrainingRecipe, "export": ExportRecipe}


def meanings(section: type) -> dict[str, str]:
    """What each field of a section means, from its docstring."""
    return documented_fields(inspect.getdoc(section))


def settings(recipe: Recipe) -> dict[str, Any]:
    """Every setting of a recipe under its name, such as `training.peak_lr`."""
    model = recipe.model.to_dict()
    found = {f"model.{name}": model[name] for name in (*FIELD_RULES, "rope_parameters") if name in model}
    for section in ("data", "training", "export"):
        part = getattr(recipe, section)
        found |= {f"{section}.{field.name}": getattr(part, field.name) for field in dataclasses.fields(part)}
    for stage in recipe.later_stages:
        fields = [field.name for field in dataclasses.fields(stage) if field.name != "name"]
        found |= {f"stages.{stage.name}.{name}": getattr(stage, name) for name in fields}
    return found


def with_settings(recipe: Recipe, changes: list[str]) -> Recipe:
    """
    A recipe with some settings changed, each given as `name=value`.

    Raises:
        ValueError: A name is unknown (the nearest one is told), a value is not of the setting's type, or the whole
            does not fit together.
    """
    known = settings(recipe)
    parts: dict[str, dict[str, Any]] = {}
    for change in changes:
        name, equals, text = change.partition("=")
        if not equals:
            raise ValueError(f"--set needs name=value, got {change!r}")
        if name not in known:
            near = get_close_matches(name, known, n=1, cutoff=0.0)[0]
            raise ValueError(f"--set {name} is no setting of this recipe; the nearest is {near} (--show lists all)")
        section, _, field = name.rpartition(".")
        parts.setdefault(section, {})[field] = _value(section, field, text, owner_of(recipe, section))
    changed: dict[str, Any] = {
        section: dataclasses.replace(getattr(recipe, section), **parts[section])
        for section in ("data", "training", "export")
        if section in parts
    }
    if "model" in parts:
        changed["model"] = LoopLMConfig.from_dict(recipe.model.to_dict() | parts["model"])
    stages = (dataclasses.replace(stage, **parts.get(f"stages.{stage.name}", {})) for stage in recipe.later_stages)
    return dataclasses.replace(recipe, later_stages=tuple(stages), **changed)


def owner_of(recipe: Recipe, section: str) -> type:
    """The class whose fields a section has."""
    if section in SECTIONS:
        return SECTIONS[section]
    return next(type(stage) for stage in recipe.later_stages if section == f"stages.{stage.name}")


def _value(section: str, field: str, text: str, owner: type) -> Any:
    """A text as a value of the setting's type. Raises `ValueError`."""
    annotation = annotations(owner)[field]
    value = value_of(text, annotation)
    check(section, field, value, described(annotation), is_of(value, annotation))
    return value


def parameters(recipe: Recipe) -> tuple[int, int]:
    """How many parameters the model has, and how many of them are ternary; counted, without making them."""
    with torch.device("meta"):
        model = LoopLMForCausalLM(recipe.model)
    ternary = sum(module.weight.numel() for module in model.modules() if isinstance(module, BitLinear))
    return sum(parameter.numel() for parameter in model.parameters()), ternary


def show(recipe: Recipe, console: Console) -> None:
    """Prints every setting with its value and meaning, and what follows from them."""
    table = Table(title=f"{recipe.name}: {recipe.description}", title_justify="left")
    for column in ("setting", "value", "meaning"):
        table.add_column(column)
    before = ""
    for name, value in settings(recipe).items():
        section = name.rpartition(".")[0]
        if section != before:
            table.add_section()
        before = section
        meaning = meanings(owner_of(recipe, section)).get(name.rpartition(".")[2], "")
        table.add_row(name, str(value), meaning)
    print_table(console, table, prose=["value", "meaning"])
    total, ternary = parameters(recipe)
    console.print(f"{total:,} parameters, {ternary:,} of them ternary")
    for stage in recipe.stages:
        if isinstance(stage, MaxRLStage):
            console.print(
                f"stage {stage.name}: {stage.total_steps:,} steps of {stage.prompts_per_step} prompts with "
                f"{stage.num_generations} completions"
            )
            continue
        tokens = stage.total_steps * stage.tokens_per_step
        console.print(
            f"stage {stage.name}: {stage.total_steps:,} steps of {stage.tokens_per_step:,} tokens, "
            f"{tokens / 1e9:.2f} billion in all"
        )
