"""Checkpoints in a folder: config.json with safetensors files."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedTokenizerFast

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from trainers.conversion.families import find_family, looplm_config
from trainers.conversion.family import Family
from trainers.conversion.source import BYTES_OF_DTYPE, COPY_BYTES, GATE, Entry, Source, read_json, some, zero_gate

INDEX_FILE = "model.safetensors.index.json"
# Files of the tokenizer and of generation, which do not depend on the architecture.
COPIED_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "tokenizer.model",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
    "generation_config.json",
)
HEAD, EMBEDDING = "lm_head.weight", "model.embed_tokens.weight"


@dataclass(frozen=True)
class _Stored:
    """A tensor in a safetensors file; `start` counts bytes from the beginning of the file."""

    file: Path
    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    end: int

    def chunks(self) -> Iterator[bytes]:
        """Read its bytes in parts."""
        with self.file.open("rb") as reader:
            reader.seek(self.start)
            left = self.end - self.start
            while part := reader.read(min(COPY_BYTES, left)):
                left -= len(part)
                yield part


def read_checkpoint(folder: Path, **changes: Any) -> Source:
    """
    Read the configuration of a checkpoint and the names, shapes and types of its tensors, but no values.

    Args:
        folder: Folder with config.json and model.safetensors, or with shards and their index.
        changes: Fields of LoopLMConfig to set differently, e.g. `ternary=True`.

    Raises:
        ValueError: The folder holds no checkpoint of a known family, needs something that LoopLM lacks, or tensors are
            missing, unexpected, of another shape or not of a floating-point type.
    """
    content = read_config(folder)
    return read_tensors(folder, find_family(content), looplm_config(content, **changes))


def read_config(folder: Path) -> dict[str, Any]:
    """Return the content of config.json. Raises `ValueError` if the folder has none."""
    if not (folder / "config.json").is_file():
        raise ValueError(f"model must be the folder of a checkpoint with config.json, got {str(folder)!r}")
    return read_json(folder / "config.json")


def read_tensors(folder: Path, family: Family, config: LoopLMConfig) -> Source:
    """
    Read the names, shapes and types of a checkpoint's tensors, but no values.

    Args:
        folder: See [`read_checkpoint`].
        family: Family of the checkpoint.
        config: Configuration of the LoopLM that it becomes.

    Raises:
        ValueError: Tensors are missing, unexpected, of another shape or not of a floating-point type.
    """
    shards: list[list[_Stored]] = []
    for file in _shard_files(folder):
        shards.append([each for each in _stored(file) if not each.name.endswith(family.ignored)])
    if config.tie_word_embeddings:
        shards = _without_tied_head(shards)
    _check(shards, family, config)
    files = [[_entry(each, family) for each in shard] for shard in shards]
    files = [entries for entries in files if entries]
    if not family.has_gate:
        files[-1] += zero_gate(config.hidden_size)
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder) if (folder / "tokenizer.json").is_file() else None
    copied = [folder / name for name in COPIED_FILES if (folder / name).is_file()]
    return Source(config, files, copied, tokenizer)


def expected_shapes(config: LoopLMConfig) -> dict[str, tuple[int, ...]]:
    """Return the shape of each tensor in a file of a LoopLM, by name."""
    with torch.device("meta"):
        shapes = {name: tuple(value.shape) for name, value in LoopLMForCausalLM(config).state_dict().items()}
    if config.tie_word_embeddings:
        del shapes[HEAD]
    return shapes


def _entry(stored: _Stored, family: Family) -> Entry:
    return Entry(family.looplm_name(stored.name), stored.dtype, stored.shape, stored.chunks)


def _shard_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a checkpoint, sorted. Raises `ValueError` when one or all are missing."""
    if not (folder / INDEX_FILE).exists():
        single = folder / "model.safetensors"
        if not single.is_file():
            raise ValueError(f"{folder} must hold model.safetensors or {INDEX_FILE}, got neither")
        return [single]
    weight_map = read_json(folder / INDEX_FILE).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise ValueError(f"{folder / INDEX_FILE} must hold a weight_map from tensors to files")
    shards = [folder / name for name in sorted(set(weight_map.values()))]
    absent = [shard.name for shard in shards if not shard.is_file()]
    if absent:
        raise ValueError(f"{folder} lacks {', '.join(absent)}, which {INDEX_FILE} names")
    return shards


def _stored(file: Path) -> list[_Stored]:
    """
    Return the tensors of a file, in the order of their bytes. The format: the header's length (8 bytes,
    little-endian), the header in JSON, then the bytes, at offsets that count from the end of the header.
    """
    try:
        # It checks the header, the offsets and the length of the file.
        with safe_open(file, framework="pt"):
            pass
    except SafetensorError as error:
        raise ValueError(f"{file} is not a whole safetensors file: {error}") from error
    with file.open("rb") as reader:
        length = int.from_bytes(reader.read(8), "little")
        header = json.loads(reader.read(length))
    found = []
    for name, value in header.items():
        if name != "__metadata__":
            start, end = (8 + length + offset for offset in value["data_offsets"])
            found.append(_Stored(file, name, value["dtype"], tuple(value["shape"]), start, end))
    return sorted(found, key=lambda each: each.start)


def _without_tied_head(shards: list[list[_Stored]]) -> list[list[_Stored]]:
    """Leave out the copy of the embedding that some files have as the head. Raises `ValueError` if it differs."""
    stored = {each.name: each for shard in shards for each in shard}
    head, embedding = stored.get(HEAD), stored.get(EMBEDDING)
    if head is None or embedding is None:
        return shards
    same = (head.dtype, head.shape) == (embedding.dtype, embedding.shape)
    if not same or any(one != other for one, other in zip(head.chunks(), embedding.chunks(), strict=True)):
        raise ValueError(f"config.json: tie_word_embeddings must be False: {HEAD} and {EMBEDDING} differ, got True")
    return [[each for each in shard if each.name != HEAD] for shard in shards]


def _check(shards: list[list[_Stored]], family: Family, config: LoopLMConfig) -> None:
    """Raise `ValueError` unless the stored tensors are those of the configuration."""
    wanted = expected_shapes(config)
    if not family.has_gate:
        for name in GATE:
            del wanted[name]
    files: dict[str, Path] = {}
    wrong, extra = [], []
    for each in (each for shard in shards for each in shard):
        name = family.looplm_name(each.name)
        if each.name in files:
            raise ValueError(f"{each.name} is in {files[each.name].name} and again in {each.file.name}")
        files[each.name] = each.file
        if name not in wanted:
            extra.append(each.name)
        elif each.shape != wanted[name] or each.dtype not in BYTES_OF_DTYPE:
            wrong.append(f"{each.name} is {each.dtype} {list(each.shape)} and not float {list(wanted[name])}")
    missing = [family.own_name(name) for name in wanted if family.own_name(name) not in files]
    if missing:
        raise ValueError(f"the checkpoint lacks {len(missing)} tensors that config.json asks for: {some(missing)}")
    if extra:
        raise ValueError(f"the checkpoint has {len(extra)} tensors that LoopLM does not have: {some(extra)}")
    if wrong:
        raise ValueError(f"the checkpoint does not fit config.json: {some(wrong)}")
