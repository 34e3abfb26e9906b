"""Settings as typed dataclasses: values are checked against their annotations, and read from text by them."""

import ast
import dataclasses
import types
from collections.abc import Mapping
from functools import cache
from inspect import get_annotations
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin, is_typeddict


def check(section: str, name: str, value: object, rule: str, holds: bool) -> None:
    """Raises `ValueError` with field, rule and value unless it holds."""
    if not holds:
        raise ValueError(f"{section}.{name} must be {rule}, got {value!r}")


def check_types(section: str, settings: object) -> None:
    """Raises `ValueError` for the first field of a dataclass whose value is not of its annotated type."""
    for field in dataclasses.fields(settings):
        annotation = annotations(type(settings))[field.name]
        value = getattr(settings, field.name)
        check(section, field.name, value, described(annotation), is_of(value, annotation))


@cache
def annotations(owner: type) -> dict[str, Any]:
    """The annotated type of each field that a class, or one it derives from, has."""
    return {name: each for base in reversed(owner.__mro__) for name, each in get_annotations(base).items()}


def is_of(value: object, annotation: Any) -> bool:
    """Whether a value is of a type. Whole numbers are numbers; True and False are neither."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return any(is_of(value, each) for each in arguments)
    if origin is Literal:
        return any(type(value) is type(choice) and value == choice for choice in arguments)
    if origin is list:
        return isinstance(value, list) and all(is_of(each, arguments[0]) for each in value)
    if origin is Mapping:
        pairs = value.items() if isinstance(value, Mapping) else [(None, None)]
        return all(is_of(key, arguments[0]) and is_of(each, arguments[1]) for key, each in pairs)
    if is_typeddict(annotation):
        return isinstance(value, Mapping)
    if annotation in (int, float):
        wanted = (int, float) if annotation is float else int
        return isinstance(value, wanted) and not isinstance(value, bool)
    return value is None if annotation is type(None) else isinstance(value, annotation)


def described(annotation: Any) -> str:
    """A type in words, for the message about a value that is not of it."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return " or ".join(dict.fromkeys(map(described, arguments)))
    if origin is Literal:
        return "one of " + ", ".join(map(str, arguments))
    if origin is list:
        return f"a list of which each is {described(arguments[0])}"
    if origin is Mapping:
        return "a dictionary such as {'std-examples': 1, 'std-sources': 3}"
    if is_typeddict(annotation):
        return "a dictionary"
    words = {
        int: "a whole number",
        float: "a number",
        bool: "True or False",
        str: "a text",
        Path: "a path",
        dict: "a dictionary",
        type(None): "None",
    }
    return words[annotation]


def value_of(text: str, annotation: Any) -> Any:
    """A text from the command line as a value of a type; one that is not of it, as it would be in Python."""
    choices = get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)
    if text == "None" and type(None) in choices:
        return None
    if Path in choices:
        return Path(text).resolve()
    if any(each is str or get_origin(each) is Literal for each in choices):
        return text
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text
    return float(value) if float in choices and int not in choices and type(value) is int else value
