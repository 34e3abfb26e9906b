"""Python values as Rust expressions of a given type, so that Python can compute the expected results."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

SIGNED = ("i32", "i64")
UNSIGNED = ("u32", "u64", "usize")
INTEGERS = SIGNED + UNSIGNED
BITS = {"i8": 8, "i16": 16, "i32": 32, "i64": 64, "i128": 128, "isize": 64} | {
    "u8": 8,
    "u16": 16,
    "u32": 32,
    "u64": 64,
    "u128": 128,
    "usize": 64,
}
COLLECTIONS = {"HashMap", "BTreeMap", "HashSet", "BTreeSet", "VecDeque"}
_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", '"': '\\"', "\0": "\\0"}


@dataclass(frozen=True)
class Ok:
    """A successful `Result`."""

    value: Any


@dataclass(frozen=True)
class Err:
    """A failed `Result`."""

    value: Any


@dataclass(frozen=True)
class Raw:
    """A Rust expression that is used as is, such as a variant of an enum."""

    rust: str


class OutOfRange(ValueError):
    """A number is out of the range of the type."""


def split_type(kind: str) -> tuple[str, list[str]]:
    """Split `HashMap<String, Vec<u8>>` into `HashMap` and [`String`, `Vec<u8>`]; a tuple is `()` with its parts."""
    if kind.startswith("("):
        return "()", _split(kind[1:-1])
    match = re.fullmatch(r"([\w:]+)<(.*)>", kind)
    return (match[1].rpartition("::")[2], _split(match[2])) if match else (kind, [])


def _split(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character in "<([") - (character in ">)]")
        if character == "," and not depth:
            parts.append(text[start:index].strip())
            start = index + 1
    return [*parts, text[start:].strip()] if text[start:].strip() else parts


def literal(value: Any, kind: str, nested: bool = False) -> str:
    """
    Return a value as a Rust expression of this type.

    Args:
        value: Python value.
        kind: Rust type.
        nested: Whether the value is part of another value, where a slice must not be written as an array.

    Raises:
        OutOfRange: The number is out of the range of the type.
        TypeError: The type has no literals for this value.
    """
    kind = re.sub(r"&'\w+ ", "&", kind.strip())
    if isinstance(value, Raw):
        return value.rust
    if kind in BITS:
        return _integer(value, kind)
    if kind in ("f32", "f64"):
        return repr(float(value))
    if kind == "bool":
        return "true" if value else "false"
    if kind == "char":
        return "'\\''" if value == "'" else f"'{_escaped(value, quote=False)}'"
    if kind == "&str":
        return f'"{_escaped(value)}"'
    if kind == "String":
        return f'"{_escaped(value)}".to_string()' if value else "String::new()"
    if kind.startswith("&mut "):
        return f"&mut {literal(value, kind[5:])}"
    if kind.startswith("&"):
        return f"&{literal(value, kind[1:])}" + ("[..]" if nested and kind[1] == "[" and ";" not in kind else "")
    if kind.startswith("["):
        element = kind[1:-1].rpartition(";")[0] if ";" in kind else kind[1:-1]
        return f"[{_sequence(value, element)}]"
    outer, inner = split_type(kind)
    if outer == "()":
        comma = "," if len(inner) == 1 else ""
        return f"({', '.join(literal(*pair, True) for pair in zip(value, inner, strict=True))}{comma})"
    if outer == "Vec":
        return f"vec![{_sequence(value, inner[0])}]" if value else f"Vec::<{inner[0]}>::new()"
    if outer == "Option":
        return "None" if value is None else f"Some({literal(value, inner[0], True)})"
    if outer == "Result":
        return f"Ok({literal(value.value, inner[0], True)})" if isinstance(value, Ok) else _error(value, inner[1])
    if outer in ("Box", "Rc", "Arc", "Some"):
        return f"{outer}::new({literal(value, inner[0], True)})"
    if outer in COLLECTIONS:
        path = f"std::collections::{outer}"
        if not value:
            return f"{path}::new()"
        element = f"({', '.join(inner)})" if len(inner) == 2 else inner[0]
        ordered = sorted(value) if isinstance(value, set) else list(value.items() if len(inner) == 2 else value)
        return f"{path}::from([{_sequence(ordered, element)}])"
    raise TypeError(f"no literal of type {kind} for {value!r}")


def _error(value: Err, kind: str) -> str:
    return f"Err({literal(value.value, kind, True)})"


def _integer(value: int, kind: str) -> str:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"no literal of type {kind} for {value!r}")
    bits = BITS[kind]
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if kind[0] == "i" else (0, (1 << bits) - 1)
    if not low <= value <= high:
        raise OutOfRange(f"{value} is no {kind}")
    return str(value)


def _sequence(values: Sequence[Any], kind: str) -> str:
    return ", ".join(literal(value, kind, True) for value in values)


def _escaped(value: str, quote: bool = True) -> str:
    return "".join(_ESCAPES.get(each, each) if quote or each != '"' else each for each in value)
