"""Conversion of an Ouro checkpoint (arXiv 2510.25741) to a LoopLM folder, byte for byte."""

import json
import math
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import PreTrainedTokenizerFast
from transformers.dynamic_module_utils import custom_object_save

from evaluation.device import inference_device
from evaluation.progress import Advance, show_progress
from evaluation.suites.perplexity import score_texts
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM

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
    "generation_config.json",
)
FLOAT_TYPES = ("F32", "BF16", "F16")
COPY_BYTES = 2**22
WINDOW = 1024


@dataclass(frozen=True)
class Checkpoint:
    """
    An Ouro checkpoint that was checked against its configuration.

    Attributes:
        folder: Folder of the checkpoint.
        config: Configuration of the LoopLM with equal outputs.
        shards: Safetensors files.
        tensors: Shard of each tensor, by the tensor's name in LoopLM.
    """

    folder: Path
    config: LoopLMConfig
    shards: list[Path]
    tensors: dict[str, Path]

    @property
    def size(self) -> int:
        """Bytes of all shards."""
        return sum(shard.stat().st_size for shard in self.shards)


def ouro_name(name: str) -> str:
    """Name in Ouro's checkpoints of a LoopLM tensor; only those of the exit gate differ."""
    return name.replace("model.exit_gate.", "model.early_exit_gate.")


def looplm_name(name: str) -> str:
    """Name in LoopLM of a tensor of Ouro's checkpoints."""
    return name.replace("model.early_exit_gate.", "model.exit_gate.")


def read_json(path: Path) -> dict:
    """Read a JSON object from a file. Raises `ValueError` when there is none."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} must be a JSON file: {error}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{path} must hold a JSON object, got a {type(found).__name__}")
    return found


def looplm_config(ouro: dict, **changes) -> LoopLMConfig:
    """
    Return the configuration of the LoopLM with the outputs of an Ouro model.

    Args:
        ouro: Content of the Ouro model's config.json.
        changes: Fields of LoopLMConfig to set differently.

    Raises:
        ValueError: `ouro` is not Ouro's, lacks a field, or needs something that LoopLM does not have.
    """
    if ouro.get("model_type") != "ouro":
        raise ValueError(f'config.json: model_type must be "ouro", got {ouro.get("model_type")!r}')
    layers = ouro.get("num_hidden_layers")
    for name, allowed in {
        "hidden_act": ("silu",),
        "use_sliding_window": (False, None),
        "rope_scaling": (None,),
        "layer_types": (None, ["full_attention"] * layers if isinstance(layers, int) else None),
    }.items():
        if name in ouro and ouro[name] not in allowed:
            raise ValueError(f"config.json: {name} must be {allowed[0]!r}: LoopLM has no other, got {ouro[name]!r}")
    names = {
        name: name
        for name in (
            "vocab_size",
            "hidden_size",
            "intermediate_size",
            "num_attention_heads",
            "max_position_embeddings",
            "rms_norm_eps",
        )
    } | {"num_hidden_layers": "num_shared_layers", "total_ut_steps": "num_loops"}
    missing = [name for name in names if name not in ouro]
    if missing:
        raise ValueError(f"config.json lacks {', '.join(missing)}")
    fields = {ours: ouro[theirs] for theirs, ours in names.items()}
    for theirs, ours in {
        "num_key_value_heads": "num_key_value_heads",
        "head_dim": "head_dim",
        "tie_word_embeddings": "tie_word_embeddings",
        "initializer_range": "initializer_range",
        "early_exit_threshold": "exit_threshold",
        "dtype": "dtype",
        "torch_dtype": "dtype",
    }.items():
        if ouro.get(theirs) is not None:
            fields[ours] = ouro[theirs]
    rope = ouro.get("rope_parameters") or {"rope_type": "default", "rope_theta": ouro.get("rope_theta", 10000.0)}
    tokens = {name: ouro.get(name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    fields |= {"tie_word_embeddings": fields.get("tie_word_embeddings", False), "rope_parameters": rope} | tokens
    return LoopLMConfig(**(fields | {"sandwich_norm": True, "ternary": False} | changes))


def shard_files(folder: Path) -> list[Path]:
    """Safetensors files of a checkpoint, sorted. Raises `ValueError` when one or all are missing."""
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


def some(names: list[str]) -> str:
    """The first five names and the number of the others, for a message."""
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def read_checkpoint(folder: Path, **changes) -> Checkpoint:
    """
    Read the configuration of an Ouro checkpoint and the names, shapes and types of its tensors, but no values.

    Args:
        folder: Folder with config.json and model.safetensors, or with shards and their index.
        changes: Fields of LoopLMConfig to set differently, e.g. `ternary=True`.

    Raises:
        ValueError: The folder holds no Ouro checkpoint, or tensors are missing, unexpected, of another shape or not
            of a floating-point type.
    """
    if not (folder / "config.json").is_file():
        raise ValueError(f"model must be the folder of an Ouro checkpoint with config.json, got {str(folder)!r}")
    config = looplm_config(read_json(folder / "config.json"), **changes)
    with torch.device("meta"):
        wanted = {name: list(value.shape) for name, value in LoopLMForCausalLM(config).state_dict().items()}
    if config.tie_word_embeddings:
        del wanted["lm_head.weight"]

    shards, tensors, wrong = shard_files(folder), {}, []
    for shard in shards:
        try:
            with safe_open(shard, framework="pt") as file:
                for theirs in file.keys():
                    name, tensor = looplm_name(theirs), file.get_slice(theirs)
                    shape, dtype = tensor.get_shape(), tensor.get_dtype()
                    if name in tensors:
                        raise ValueError(f"{theirs} is in {tensors[name].name} and again in {shard.name}")
                    tensors[name] = shard
                    if name in wanted and (shape != wanted[name] or dtype not in FLOAT_TYPES):
                        wrong.append(f"{theirs} is {dtype} {shape} and not float {wanted[name]}")
        except SafetensorError as error:
            raise ValueError(f"{shard} is not a whole safetensors file: {error}") from error
    missing = [ouro_name(name) for name in wanted if name not in tensors]
    extra = [ouro_name(name) for name in tensors if name not in wanted]
    if missing:
        raise ValueError(f"the checkpoint lacks {len(missing)} tensors that config.json asks for: {some(missing)}")
    if extra:
        raise ValueError(f"the checkpoint has {len(extra)} tensors that LoopLM does not have: {some(extra)}")
    if wrong:
        raise ValueError(f"the checkpoint does not fit config.json: {some(wrong)}")
    return Checkpoint(folder, config, shards, tensors)


def copy_shard(source: Path, target: Path, advance: Advance) -> None:
    """
    Copy a safetensors file with LoopLM's names. The format: the header's length (8 bytes, little-endian), the header
    in JSON, then the tensors' bytes, whose offsets do not depend on the header.
    """
    with source.open("rb") as reader, target.open("wb") as writer:
        length = int.from_bytes(reader.read(8), "little")
        header = {looplm_name(name): value for name, value in json.loads(reader.read(length)).items()}
        # transformers requires the format.
        header["__metadata__"] = header.get("__metadata__", {}) | {"format": "pt"}
        encoded = json.dumps(header, separators=(",", ":")).encode()
        encoded += b" " * (-len(encoded) % 8)
        writer.write(len(encoded).to_bytes(8, "little") + encoded)
        advance(8 + length)
        while part := reader.read(COPY_BYTES):
            writer.write(part)
            advance(len(part))


def convert(checkpoint: Checkpoint, output_dir: Path) -> None:
    """
    Write the LoopLM folder. It gets its name when it is complete; an interrupted call leaves nothing behind.

    Raises:
        ValueError: `output_dir` exists, or the disk lacks the space.
    """
    if output_dir.exists():
        raise ValueError(f"output_dir must not exist yet, got {str(output_dir)!r}")
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(output_dir.parent).free
    if free < checkpoint.size:
        raise ValueError(
            f"output_dir needs {checkpoint.size:,} bytes of disk; {str(output_dir.parent)!r} has {free:,} left"
        )
    with tempfile.TemporaryDirectory(prefix=f".{output_dir.name}.", dir=output_dir.parent) as parent:
        folder = Path(parent, "model")
        folder.mkdir()
        count = len(checkpoint.shards)
        names = ["model.safetensors"]
        if count > 1:
            names = [f"model-{index + 1:05}-of-{count:05}.safetensors" for index in range(count)]
        targets = dict(zip(checkpoint.shards, names, strict=True))
        with show_progress("Converting", checkpoint.size, "B") as advance:
            for shard, name in targets.items():
                copy_shard(shard, folder / name, advance)
        if count > 1:
            weight_map = {name: targets[shard] for name, shard in sorted(checkpoint.tensors.items())}
            index = {"metadata": {"total_size": checkpoint.size}, "weight_map": weight_map}
            (folder / INDEX_FILE).write_text(json.dumps(index, indent=2) + "\n")
        for name in COPIED_FILES:
            if (checkpoint.folder / name).is_file():
                shutil.copyfile(checkpoint.folder / name, folder / name)
        with torch.device("meta"):
            model = LoopLMForCausalLM(checkpoint.config)
        model.config.architectures = [type(model).__name__]
        custom_object_save(model, folder, config=model.config)
        model.config.save_pretrained(folder)
        folder.rename(output_dir)


def cross_entropy(folder: Path, tokenizer: PreTrainedTokenizerFast, text: str, ternary: bool) -> float:
    """Cross-entropy of a text in nats per token under a converted model, with or without ternary weights."""
    model = LoopLMForCausalLM.from_pretrained(folder, ternary=ternary).eval().to(inference_device())
    window = min(WINDOW, model.config.max_position_embeddings)
    results = score_texts(model, tokenizer, {"text": text}, window, batch_size=1)
    return math.log(results.details["perplexity_by_loop"][-1])
