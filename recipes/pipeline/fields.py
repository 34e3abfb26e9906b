"""
Settings of a recipe: each field is declared once, with its type, rule and help. `--set`, `--show`, `--help` and all
checks read that declaration:

    @settings
    class Data(Settings):
        section: ClassVar[str] = "data"
        seq_len: int = setting("Tokens per block.", default=512, ge=2)
"""

import ast
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Any, ClassVar, Literal, TypeVar, Union, dataclass_transform, get_args, get_origin

import pydantic
from pydantic.dataclasses import dataclass as pydantic_dataclass
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

CONFIG = pydantic.ConfigDict(strict=True, extra="forbid", allow_inf_nan=False)
BOUNDS = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below", "min_length": "of a length of at least"}
TYPES = {
    int: "a whole number",
    float: "a number",
    bool: "True or False",
    str: "text",
    Path: "a path",
    type(None): "None",
    tuple: "texts such as ('crates=vendor', 'documentation')",
    Mapping: "a dictionary such as {'std-examples': 1, 'std-sources': 3}",
}
"""Types that settings have, in words."""


class Settings:
    """
    Base of the classes that [`settings`] makes.

    Attributes:
        section: Name of the section, where no field `name` gives another.
    """

    section: ClassVar[str]
    __pydantic_fields__: ClassVar[dict[str, FieldInfo]]


AnySettings = TypeVar("AnySettings", bound=Settings)


def setting(help: str, default: Any = ..., **rules: Any) -> Any:
    """
    Declare a field.

    Args:
        help: Meaning of the field, with its unit.
        default: Its value where none is given; without one the field is required.
        rules: Bounds of its value (`ge`, `gt`, `le`, `lt`, `min_length`), as in `pydantic.Field`.
    """
    return pydantic.Field(default, description=help, **rules)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(setting,))
def settings(owner: type[AnySettings]) -> type[AnySettings]:
    """
    Make a class of settings: a frozen dataclass with keyword arguments, whose values are checked against their types
    and rules. Its `__post_init__` may check fields against each other with [`check`].

    The class names its `section`, or has a field `name` that does.
    """
    made = pydantic_dataclass(frozen=True, kw_only=True, config=CONFIG)(owner)
    validated = made.__init__

    def __init__(self, **values: Any) -> None:
        try:
            validated(self, **values)
        except pydantic.ValidationError as error:
            raise ValueError(_in_words(made, values, error)) from None

    made.__init__ = __init__
    return made


def check(section: str, name: str, value: object, rule: str, holds: bool) -> None:
    """Raise `ValueError` with field, rule and value unless it holds."""
    if not holds:
        raise ValueError(f"{section}.{name} must be {rule}, got {value!r}")


def names(owner: type[Settings]) -> list[str]:
    """Names of a class's fields in their order."""
    return list(owner.__pydantic_fields__)


def values_of(part: Settings) -> dict[str, Any]:
    """The values of all fields, by name."""
    return {name: getattr(part, name) for name in names(type(part))}


def changed(part: AnySettings, **values: Any) -> AnySettings:
    """A copy with other values; raises `ValueError` when one breaks its rule."""
    return type(part)(**(values_of(part) | values))


def meaning(owner: type[Settings], name: str) -> str:
    """Help of a field, with its type and rule."""
    field = owner.__pydantic_fields__[name]
    text = (field.description or "").rstrip(".")
    return f"{text} ({', '.join([described(field.annotation), *bounds(field)])})"


def bounds(field: FieldInfo) -> Iterator[str]:
    """Bounds of a field in words."""
    for rule in field.metadata:
        for name, words in BOUNDS.items():
            if hasattr(rule, name):
                yield f"{words} {getattr(rule, name)}"


def described(annotation: Any) -> str:
    """A type in words."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(described, arguments)))
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is not None:
        return TYPES[tuple if origin is tuple else Mapping]
    return TYPES[annotation]


def value_of(owner: type[Settings], name: str, text: str) -> Any:
    """Text from the command line as a value of a field; the class checks it when it is made."""
    return parse(owner.__pydantic_fields__[name].annotation, text)


def parse(annotation: Any, text: str) -> Any:
    """
    Text as a value of a type: a Python literal, or the text itself where the type takes text. Several texts may be
    given with commas between them, too.
    """
    choices = get_args(annotation) if get_origin(annotation) in (Union, UnionType) else (annotation,)
    if text == "None" and type(None) in choices:
        return None
    if Path in choices:
        return Path(text).resolve()
    if any(choice is str or get_origin(choice) is Literal for choice in choices):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        value = text
    if any(get_origin(choice) is tuple for choice in choices):
        return tuple(value) if isinstance(value, list | tuple) else tuple(text.split(","))
    return value


def from_json(owner: type[AnySettings], values: Mapping[str, Any]) -> AnySettings:
    """
    Settings from values that were kept as JSON; names that the class does not have are left out.

    Raises:
        ValueError: A value breaks its rule.
    """
    known = {name: value for name, value in values.items() if name in owner.__pydantic_fields__}
    try:
        return pydantic.TypeAdapter(owner).validate_json(json.dumps(known))
    except pydantic.ValidationError as error:
        raise ValueError(_in_words(owner, known, error)) from None


def _in_words(owner: type[Settings], values: Mapping[str, Any], error: pydantic.ValidationError) -> str:
    """The first fault of some values: field, rule and value."""
    fault: ErrorDetails = error.errors(include_url=False)[0]
    # One that `__post_init__` raised says everything itself.
    if fault["type"] == "value_error":
        return str(fault["ctx"]["error"])
    section, name = values.get("name", owner.section), str(fault["loc"][0])
    if fault["type"] in ("unexpected_keyword_argument", "missing"):
        problem = "is required" if fault["type"] == "missing" else "does not exist"
        return f"{section}.{name} {problem}; the settings of this section are {', '.join(names(owner))}"
    field = owner.__pydantic_fields__[name]
    broken = [f"{words} {fault['ctx'][rule]:g}" for rule, words in BOUNDS.items() if rule in fault.get("ctx", {})]
    rule = "finite" if fault["type"] == "finite_number" else " ".join(broken) or described(field.annotation)
    if len(fault["loc"]) > 1:
        rule = f"{described(field.annotation)}, whose values are {rule}" if broken else described(field.annotation)
    return f"{section}.{name} must be {rule}, got {values[name]!r}"
