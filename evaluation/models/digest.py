"""
The digest of a model's weights, which tells apart two models of one shape.

For a model in one file, such as model.safetensors or a GGUF file, it is the SHA-256 that `sha256sum` and the page of
the file on the Hub show. For a model in several files it is that of the lines that `sha256sum` prints for them, so
that `sha256sum model-*.safetensors | sha256sum` in its folder shows it.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel
from transformers.utils import SAFE_WEIGHTS_INDEX_NAME, SAFE_WEIGHTS_NAME, cached_file

OF_FILES = "the files of weights"
OF_TENSORS = "the tensors in memory"


@dataclass(frozen=True)
class WeightsDigest:
    """
    A digest of weights.

    Attributes:
        sha256: Hexadecimal digits; None if the weights are not known.
        of: Data that it was computed over, or the reason why there is none. Digests of different data differ for the
            same weights.
    """

    sha256: str | None
    of: str


def differing_digests(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether two descriptions of models in results, see `describe`, are of one path and of different weights."""
    pairs = [(each.get("path"), each.get("digest_of")) for each in (first, second)]
    digests = [each.get("digest") for each in (first, second)]
    return pairs[0] == pairs[1] and None not in digests and digests[0] != digests[1]


def digest_of_loaded(model: PreTrainedModel, name: str | None) -> WeightsDigest:
    """
    Return the digest of the files that a model was just loaded from, or of its tensors.

    Args:
        model: The model.
        name: Folder or Hub name that it was loaded from; None if it may have changed since.
    """
    files = [] if name is None else weight_files(name)
    if files:
        return WeightsDigest(files_digest(files), OF_FILES)
    return WeightsDigest(tensors_digest(model), OF_TENSORS)


def weight_files(name: str) -> list[Path]:
    """Return the files of weights in the folder of a saved model, or in the local copy of one on the Hub."""
    folder = Path(name)
    if not folder.is_dir():
        config = cached_file(name, "config.json", local_files_only=True)
        assert config is not None, "a model that was loaded from the Hub is in its cache"
        folder = Path(config).parent
    index = folder / SAFE_WEIGHTS_INDEX_NAME
    if (folder / SAFE_WEIGHTS_NAME).is_file():
        return [folder / SAFE_WEIGHTS_NAME]
    if index.is_file():
        return [folder / file for file in sorted(set(json.loads(index.read_text())["weight_map"].values()))]
    return sorted([*folder.glob("*.safetensors"), *folder.glob("pytorch_model*.bin")])


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file as hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def files_digest(paths: Sequence[Path]) -> str:
    """Return the digest of one or more files of weights. The names of several count, but not their folder."""
    if len(paths) == 1:
        return file_digest(paths[0])
    paths = sorted(paths, key=lambda path: path.name)
    with ThreadPoolExecutor() as pool:
        digests = list(pool.map(file_digest, paths))
    lines = (f"{digest}  {path.name}\n" for digest, path in zip(digests, paths, strict=True))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


@torch.no_grad()
def tensors_digest(model: PreTrainedModel) -> str:
    """Return the SHA-256 over name, type, shape and bytes of every tensor of a model's state, sorted by name."""
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
