"""Opening of what `convert` is given: a folder, a GGUF file, or a name on the Hub."""

from pathlib import Path
from typing import Any

from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from evaluation.models.opening import is_gguf
from trainers.conversion.checkpoint import COPIED_FILES, read_checkpoint
from trainers.conversion.families import looplm_config
from trainers.conversion.source import Source, read_json

SMALL_FILES = ["config.json", "*.safetensors.index.json", *COPIED_FILES]


def open_source(name: str, **changes: Any) -> Source:
    """
    Read a model to convert, but no weights.

    Args:
        name: Folder of a checkpoint, GGUF file, or name on the Hub, from which the checkpoint is downloaded.
        changes: Fields of LoopLMConfig to set differently.

    Raises:
        ValueError: There is no such model, or it cannot be converted; see [`read_checkpoint`] and
            [`read_gguf_model`].
    """
    path = Path(name)
    if is_gguf(name):
        if not path.is_file():
            raise ValueError(f"model must be a GGUF file that exists, got {name!r}")
        # It needs the package gguf.
        from trainers.conversion.gguf_file import read_gguf_model

        return read_gguf_model(path, **changes)
    if not path.exists() and name.count("/") == 1 and not name.startswith(("/", ".")):
        path = _download(name, changes)
    return read_checkpoint(path, **changes)


def _download(name: str, changes: dict[str, Any]) -> Path:
    """Download a checkpoint, the small files first: its configuration is checked before the weights are loaded."""
    try:
        folder = Path(snapshot_download(name, allow_patterns=SMALL_FILES))
        if (folder / "config.json").is_file():
            looplm_config(read_json(folder / "config.json"), **changes)
        return Path(snapshot_download(name, allow_patterns=[*SMALL_FILES, "model*.safetensors"]))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError) as error:
        text = str(error).strip().split("\n")[0]
        raise ValueError(f"model must be a folder, a GGUF file or a name on the Hub, got {name!r}: {text}") from error
