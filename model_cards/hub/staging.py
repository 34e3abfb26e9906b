"""
The folders that are published: a model with everything it needs to load by its own code, and its GGUF files. What is
there was checked; nothing else is ever uploaded.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import torch
from transformers import AutoTokenizer, GenerationConfig, PreTrainedTokenizerFast
from transformers.dynamic_module_utils import get_relative_imports

from evaluation.device import inference_device
from model_cards.card.counted import Counted
from model_cards.card.document import GgufRelease, Publication, gguf_card
from model_cards.checkpoint import INDEX, TOKENIZER_FILES, WEIGHTS, Checkpoint, read_json
from model_cards.gguf.export import export_gguf
from model_cards.gguf.limits import config_obstacles, fold_streams
from model_cards.gguf.verify import verify_gguf
from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM

CONFIGURATION = ("config.json", "generation_config.json")
TOKENIZER = (*TOKENIZER_FILES, "vocab.json", "merges.txt", "chat_template.jinja")
NEEDED = (*CONFIGURATION, "tokenizer.json", "tokenizer_config.json")
PROMPT = "fn main() {\n"
# Q4_0 runs on every backend; Q2_K does, too, in less space; TQ2_0 is the smallest that most of them run.
# Q2_0 stands in for these two where groups are smaller than their blocks.
EVERYWHERE, SMALL, SMALL_BLOCKS, FLOAT = ("q4_0",), ("q2_k", "tq2_0"), ("q2_0",), ("f16",)


def read_tokenizer(folder: Path, config: LoopLMConfig) -> PreTrainedTokenizerFast:
    """
    The tokenizer of a saved model.

    Raises:
        ValueError: It disagrees with the configuration or the generation configuration on bos, eos or pad, or has
            more tokens than the model.
        FileNotFoundError: One of the files is missing.
    """
    for name in NEEDED:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} must hold a model with its tokenizer: it has no {name}")
        read_json(folder / name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    generation = GenerationConfig.from_pretrained(folder)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        ids = [_as_set(getattr(source, name)) for source in (tokenizer, config, generation)]
        # A model may end at several tokens; a tokenizer has one of them.
        if not (ids[0] <= ids[1] == ids[2] and bool(ids[0]) == bool(ids[1])):
            found = (getattr(source, name) for source in (tokenizer, config, generation))
            raise ValueError(
                "{} must agree everywhere, got {} in the tokenizer, {} in config.json and {} in "
                "generation_config.json: save the model again with equal ones".format(name, *found)
            )
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"LoopLMConfig.vocab_size must be at least the tokenizer's {len(tokenizer)} tokens, got "
            f"{config.vocab_size}"
        )
    return tokenizer


def _as_set(ids: int | list[int] | None) -> set[int]:
    return set() if ids is None else set(ids) if isinstance(ids, list) else {ids}


def code_files(folder: Path) -> list[str]:
    """
    Names of the .py files that the model's `auto_map` needs.

    Raises:
        ValueError: `auto_map` is missing, or names code that is not in the folder.
    """
    auto_map = read_json(folder / "config.json").get("auto_map") or {}
    for name in ("AutoConfig", "AutoModel", "AutoModelForCausalLM"):
        if name not in auto_map:
            raise ValueError(
                f"{folder}/config.json: auto_map must name {name}, so that the model loads by its own code; save it "
                "again with save_pretrained"
            )
    needed: set[Path] = set()
    todo = [folder / f"{reference.split('.')[0]}.py" for reference in auto_map.values()]
    for path in todo:
        if not path.is_file():
            raise ValueError(
                f"{folder} must hold the code that auto_map needs: {path.name} is missing; save the model again with "
                "save_pretrained"
            )
        if path not in needed:
            needed.add(path)
            todo += [folder / f"{name}.py" for name in get_relative_imports(path)]
    return sorted(path.name for path in needed)


def stage_model(source: Path, target: Path) -> None:
    """
    Copy what belongs to a model, byte by byte, and nothing of its training.

    Raises:
        ValueError, FileNotFoundError: Something that the model needs is missing.
    """
    names = [*NEEDED, *code_files(source)]
    names += [name for name in TOKENIZER if (source / name).is_file() and name not in names]
    if (source / WEIGHTS).is_file():
        names.append(WEIGHTS)
    else:
        shards = sorted(set(read_json(source / INDEX)["weight_map"].values()))
        names += [INDEX, *shards]
    target.mkdir(parents=True, exist_ok=True)
    for name in names:
        shutil.copyfile(source / name, target / name)


def reload(folder: Path) -> str:
    """
    Load a staged model in a new process that cannot import this project, offline, by the code in the folder; returns
    what it generates.

    Raises:
        ValueError: It does not load or generate there.
    """
    script = Path(__file__).with_name("reload.py")
    with tempfile.TemporaryDirectory() as modules:
        finished = subprocess.run(
            [sys.executable, "-I", "-W", "ignore", str(script), str(folder.resolve()), PROMPT],
            env=os.environ | {"HF_HUB_OFFLINE": "1", "HF_MODULES_CACHE": modules, "TRANSFORMERS_VERBOSITY": "error"},
            cwd=modules,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
    if finished.returncode != 0:
        reason = finished.stderr.strip().splitlines()[-1:] or ["no reason was given"]
        raise ValueError(f"{folder} must load by its own code in a clean process, got: {reason[0]}")
    return json.loads(finished.stdout)["text"]


def gguf_types(checkpoint: Checkpoint, asked: Sequence[str] | None) -> tuple[str, ...] | str:
    """
    The types to export a model in, or why llama.cpp cannot run it.

    Args:
        asked: None chooses: what runs everywhere, and what is small.

    Raises:
        ValueError: One that was asked for is impossible; says why.
    """
    config = checkpoint.config
    if asked is not None:
        reasons = [reason for type in asked for reason in config_obstacles(config, type)]
        if reasons:
            raise ValueError(f"{checkpoint.name} cannot be exported as asked:\n" + "\n".join(dict.fromkeys(reasons)))
        fold_streams(checkpoint)
        return tuple(dict.fromkeys(asked))

    def fitting(types: Sequence[str]) -> tuple[str, ...]:
        return tuple(type for type in types if not config_obstacles(config, type))

    types = (*fitting(EVERYWHERE), *(fitting(SMALL) or fitting(SMALL_BLOCKS))) or fitting(FLOAT)
    if not types:
        return " ".join(config_obstacles(config, FLOAT[0]))
    try:
        fold_streams(checkpoint)
    except ValueError as error:
        return str(error)
    return types


def stage_gguf(
    source: Path,
    target: Path,
    publication: Publication,
    checkpoint: Checkpoint,
    tokenizer: PreTrainedTokenizerFast,
    counted: Counted,
    types: Sequence[str],
) -> list[GgufRelease]:
    """
    Export a model in each type, run each file in llama.cpp, and write the card of the repository.

    Raises:
        ValueError: A file disagrees with the model.
    """
    target.mkdir(parents=True, exist_ok=True)
    files = []
    model = LoopLMForCausalLM.from_pretrained(source, dtype=torch.float32).eval().to(inference_device())
    for type in types:
        name = f"{publication.name}-{type.upper()}.gguf"
        written = export_gguf(checkpoint, tokenizer, target / name, type=type, name=publication.name)
        agreement = verify_gguf(written.path, model, tokenizer)
        if agreement.problems:
            raise ValueError(
                f"{name} must do in llama.cpp what the model does: {'; '.join(agreement.problems)}. Nothing was "
                "uploaded; leave the type out with --gguf-types, or all of them with --no-gguf"
            )
        files.append(GgufRelease(name, type, written.nbytes, agreement))
    gguf_card(publication, counted, files).save(target / "README.md")
    return files
