"""The inputs of a preparation, kept beside its rows: a changed input is noticed instead of mixed with former rows."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from evaluation.rust.rustc.toolchain import ToolchainUnavailable, find_toolchain
from trainers.data.preparation.inspection import loaded_benchmarks
from trainers.data.preparation.settings import PreparationSettings
from trainers.data.preparation.shards import write_json
from trainers.data.sources import Source

INPUTS = "inputs.json"
FORMAT = 1
"""Raise it whenever equal inputs and settings may give other rows."""


def inputs_of(sources: Sequence[Source], settings: PreparationSettings) -> dict[str, Any]:
    """Return everything that the rows depend on, as JSON values."""
    try:
        compiler = find_toolchain().identity
    except ToolchainUnavailable:
        compiler = None
    values = {
        "format": FORMAT,
        "rustc": compiler,
        "settings": asdict(settings),
        "benchmarks": loaded_benchmarks().coverage().splitlines() if settings.decontaminate else [],
        "sources": {f"{number} {source.name}": source.identity() for number, source in enumerate(sources)},
    }
    return json.loads(json.dumps(values, default=sorted))


def check_inputs(sources: Sequence[Source], settings: PreparationSettings, folder: Path) -> None:
    """
    Keep the inputs of a new preparation in its folder, or compare them with those of the one that it continues.

    Raises:
        ValueError: They differ; names each difference. Or the folder has other files.
    """
    if not (folder / INPUTS).exists():
        keep_inputs(sources, settings, folder)
        return
    changed = changed_inputs(sources, settings, folder)
    if changed:
        raise ValueError(
            f"{folder} holds a preparation of other inputs; choose another folder or replace it (--overwrite). "
            "Changed:\n" + "\n".join(changed)
        )


def keep_inputs(sources: Sequence[Source], settings: PreparationSettings, folder: Path) -> None:
    """Begin a preparation in a folder. Raises `ValueError` if the folder has other files."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} must be a new or empty folder, or hold a preparation; it holds other files")
    folder.mkdir(parents=True, exist_ok=True)
    write_json(folder / INPUTS, inputs_of(sources, settings))


def changed_inputs(sources: Sequence[Source], settings: PreparationSettings, folder: Path) -> list[str]:
    """Return a line for each input that differs from those of the preparation in a folder."""
    return _differences(json.loads((folder / INPUTS).read_text()), inputs_of(sources, settings), "")


def _differences(before: Any, now: Any, name: str) -> list[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        return [
            line
            for key in sorted(before.keys() | now.keys())
            for line in _differences(before.get(key), now.get(key), f"{name}.{key}".lstrip("."))
        ]
    return [] if before == now else [f"  {name}: {_short(before)} before, {_short(now)} now"]


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) < 80 else text[:77] + "..."
