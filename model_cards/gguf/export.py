"""
Export of a LoopLM to a GGUF file for stock llama.cpp.

llama.cpp's architecture `nanbeige` is a stack of Llama blocks that runs `nanbeige.num_loops` times, with the final
norm between the loops (ggml-org/llama.cpp: src/models/nanbeige.cpp); the file has each block once. Models that it
cannot represent are refused, see [`config_obstacles`]. It has no exit gate: the gate, its thresholds and the
configuration are stored as metadata, which llama.cpp ignores.

Tensors are encoded and written one at a time. The file is then read back and compared with the checkpoint before it
gets its final name.
"""

import json
from pathlib import Path

import numpy as np
from transformers import PreTrainedTokenizerFast

from evaluation.complete_files import complete_file
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.blocks import FLOAT_TYPES, UNQUANTIZED, BlockFormat
from model_cards.gguf.file import ARCHITECTURE, UNROLLED, GgufFile, read_gguf
from model_cards.gguf.limits import config_obstacles, exported_loops, find_format, fold_streams, unrolled_obstacles
from model_cards.gguf.tensors import ExportedTensor, check_tensors, encode, exported_tensors
from model_cards.gguf.tokenizer import tokenizer_metadata

OWN_PREFIX = "nanochat"


def export_gguf(
    checkpoint: LoopLMCheckpoint,
    tokenizer: PreTrainedTokenizerFast,
    path: str | Path,
    *,
    type: str = "q4_0",
    embedding_type: str | None = None,
    head_type: str | None = None,
    name: str | None = None,
    unrolled: bool = False,
) -> GgufFile:
    """
    Write a checkpoint to a GGUF file, and compare the file with the checkpoint.

    Args:
        checkpoint: See [`LoopLMCheckpoint.from_folder`] and [`LoopLMCheckpoint.from_model`].
        tokenizer: The tokenizer of the model.
        path: File to write; an existing file is replaced when the new one is complete.
        type: Type of the ternary matrices: f32, f16, q8_0, q4_0, q2_0, tq1_0, tq2_0 or q2_k. All store them exactly;
            q4_0 fits most group sizes (multiples of 32) and runs on every backend.
        embedding_type, head_type: f32, f16 or q8_0; None: the type of the matrices in an f32 and an f16 file, and q8_0
            in all others. A tied head has no type of its own.
        name: Value of `general.name`.
        unrolled: Write the architecture `llama` instead of `nanbeige`; only for one loop, see [`unrolled_obstacles`].

    Returns:
        Metadata and tensor table of the file.

    Raises:
        ValueError: llama.cpp cannot run this model with this type (all reasons are listed), a weight is not finite or
            too large for fp16, the tokenizer does not fit, or the checkpoint has other tensors than its configuration.
        OSError: The file cannot be written.
    """
    config, path = checkpoint.config, Path(path)
    if not path.parent.is_dir() or (path.exists() and not path.is_file()):
        # The new file replaces what is there, which must not be a device such as /dev/null.
        fault = f"is in {path.parent}, which is not a folder"
        if path.exists():
            fault = "is a folder" if path.is_dir() else "is not a regular file"
        raise FileNotFoundError(f"path must name a file in a folder that exists, got {path}, which {fault}")
    obstacles = config_obstacles(config, type) + (unrolled_obstacles(config) if unrolled else [])
    if obstacles:
        raise ValueError(f"{checkpoint.name} cannot be exported to GGUF:\n" + "\n".join(obstacles))
    if head_type is not None and config.tie_word_embeddings:
        raise ValueError(f"head_type must be None when LoopLMConfig.tie_word_embeddings=True, got {head_type!r}")
    checkpoint.check_names()
    default_type = type if type in UNQUANTIZED else "q8_0"
    tensors = list(
        exported_tensors(
            config,
            find_format(type, "type"),
            find_format(embedding_type or default_type, "embedding_type", FLOAT_TYPES),
            find_format(head_type or default_type, "head_type", FLOAT_TYPES),
            fold_streams(checkpoint),
        )
    )
    for tensor in tensors:
        if tensor.shape[-1] % tensor.format.block:
            raise ValueError(
                f"LoopLMConfig.hidden_size must be a multiple of {tensor.format.block} for {tensor.name} in "
                f"{tensor.format.name}, got {config.hidden_size}: use f16"
            )
    architecture = UNROLLED if unrolled else ARCHITECTURE
    metadata = model_metadata(checkpoint, find_format(type, "type"), name, architecture)
    metadata |= tokenizer_metadata(tokenizer, config)

    with complete_file(path) as partial:
        _write(partial, path, metadata, tensors, checkpoint)
        written = read_gguf(partial)
        check_tensors(written, tensors, checkpoint)
        _check_metadata(written, metadata)
    return read_gguf(path)


def model_metadata(
    checkpoint: LoopLMCheckpoint, matrix: BlockFormat, name: str | None, architecture: str = ARCHITECTURE
) -> dict[str, object]:
    """Return the metadata of the model, without its tokenizer."""
    config = checkpoint.config
    settings = config.to_dict()
    # How the weights were stored in the checkpoint is not a property of this file.
    del settings["weight_format"]
    gate = {part: checkpoint.read_finite(f"model.exit_gate.{part}").float() for part in ("weight", "bias")}
    metadata: dict[str, object] = {
        "general.architecture": architecture,
        "general.file_type": matrix.file_type,
        "general.quantization_version": 2,
        f"{architecture}.context_length": config.max_position_embeddings,
        f"{architecture}.embedding_length": config.hidden_size,
        f"{architecture}.block_count": config.num_stored_layers,
        f"{architecture}.feed_forward_length": config.intermediate_size,
        f"{architecture}.vocab_size": config.vocab_size,
        f"{architecture}.attention.head_count": config.num_attention_heads,
        f"{architecture}.attention.head_count_kv": config.num_key_value_heads,
        f"{architecture}.attention.key_length": config.head_dim,
        f"{architecture}.attention.value_length": config.head_dim,
        f"{architecture}.attention.layer_norm_rms_epsilon": float(config.rms_norm_eps),
        f"{architecture}.rope.freq_base": float(config.rope_parameters["rope_theta"]),
        f"{architecture}.rope.dimension_count": config.head_dim,
        f"{OWN_PREFIX}.config": json.dumps(settings, sort_keys=True),
        f"{OWN_PREFIX}.exit_gate.weight": gate["weight"].flatten().tolist(),
        f"{OWN_PREFIX}.exit_gate.bias": gate["bias"].flatten().tolist(),
        f"{OWN_PREFIX}.exit_temperature": float(config.exit_temperature),
        f"{OWN_PREFIX}.exit_threshold": float(config.exit_threshold),
    }
    if architecture == ARCHITECTURE:
        metadata |= {
            f"{architecture}.num_loops": exported_loops(config),
            f"{architecture}.skip_loop_final_norm": False,
        }
    if config.ternary:
        metadata[f"{OWN_PREFIX}.ternary_group_size"] = np.int32(config.ternary_group_size)
    return metadata if name is None else {"general.name": name} | metadata


def _write(
    partial: Path, path: Path, metadata: dict[str, object], tensors: list[ExportedTensor], checkpoint: LoopLMCheckpoint
) -> None:
    from gguf import GGUFValueType, GGUFWriter

    writer = GGUFWriter(partial, str(metadata["general.architecture"]))
    types: dict[type, GGUFValueType] = {
        bool: GGUFValueType.BOOL,
        int: GGUFValueType.UINT32,
        float: GGUFValueType.FLOAT32,
    }
    types |= {str: GGUFValueType.STRING, list: GGUFValueType.ARRAY, np.int32: GGUFValueType.INT32}
    for key, value in metadata.items():
        if key != "general.architecture":  # The writer has it already.
            writer.add_key_value(key, value, types[type(value)])
    for tensor in tensors:
        nbytes = tensor.format.nbytes(int(np.prod(tensor.shape)))
        # Declared as int8: for other types the writer derives the shape from a table that lacks Q2_0.
        writer.add_tensor_info(tensor.name, tensor.shape, np.dtype(np.int8), nbytes, tensor.format.type_id)
    try:
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        for tensor in tensors:
            data = encode(tensor, checkpoint)
            try:
                writer.write_tensor_data(data)
            except OSError as error:
                # NumPy's own message is only "458752 requested and 85952 written".
                raise OSError(f"{path.parent} must have room for {path.name}, writing it failed: {error}") from error
    finally:
        writer.close()


def _check_metadata(file: GgufFile, metadata: dict[str, object]) -> None:
    for key, value in metadata.items():
        found = file.metadata[key]
        if isinstance(value, float):
            found, value = np.float32(found), np.float32(value)
        elif isinstance(value, list) and isinstance(value[0], float):
            found, value = np.float32(found).tolist(), np.float32(value).tolist()
        if found != value:
            raise ValueError(f"{file.path}: {key} must be {str(value)[:80]}, got {str(found)[:80]}")
