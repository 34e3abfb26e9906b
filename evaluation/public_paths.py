"""Settings and commands as they may be published: without the folders of the machine that they were used on."""

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def without_folders(value: Any) -> Any:
    """Return JSON values in which only the last part of every absolute path is left."""
    if isinstance(value, Mapping):
        return {name: without_folders(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(each) for each in value]
    return _last_part(value) if isinstance(value, str) else value


def public_command(command: str) -> str:
    """Return a command in which only the last part of every absolute path is left."""
    return shlex.join(_last_part(word) for word in shlex.split(command))


def _last_part(word: str) -> str:
    """A word, or the value in `OPTION=VALUE` and `KIND=PATH`, without the folders before its last part."""
    name, equals, value = word.rpartition("=")
    if "://" in value or not Path(value).is_absolute():
        return word
    return f"{name}{equals}{Path(value).name}"
