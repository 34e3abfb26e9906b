"""The files of a saved model that are published: weights, configuration, tokenizer and code."""

import shutil
from importlib.resources import files
from pathlib import Path

from transformers import GenerationConfig, PreTrainedTokenizerFast
from transformers.dynamic_module_utils import get_relative_imports

from model_cards.checkpoint import INDEX, TOKENIZER_FILES, WEIGHTS, read_json
from modeling_nanochat import LoopLMConfig

REQUIRED_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
OPTIONAL_FILES = (*TOKENIZER_FILES, "vocab.json", "merges.txt", "chat_template.jinja")


def check_special_tokens(
    tokenizer: PreTrainedTokenizerFast, config: LoopLMConfig, generation: GenerationConfig
) -> None:
    """
    Compare a tokenizer with the configurations of its model.

    Raises:
        ValueError: They disagree on the bos, eos or pad token, or the tokenizer has more tokens than the model.
    """
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        found = [getattr(source, name) for source in (tokenizer, config, generation)]
        ids = [_as_set(each) for each in found]
        # A model may have several eos tokens; a tokenizer has one of them.
        if not (ids[0] <= ids[1] == ids[2] and bool(ids[0]) == bool(ids[1])):
            raise ValueError(
                f"{name} must agree everywhere, got {found[0]} in the tokenizer, {found[1]} in config.json and "
                f"{found[2]} in generation_config.json: save the model again with equal ones"
            )
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"LoopLMConfig.vocab_size must be at least the tokenizer's {len(tokenizer)} tokens, got "
            f"{config.vocab_size}"
        )


def _as_set(ids: int | list[int] | None) -> set[int]:
    return set() if ids is None else set(ids) if isinstance(ids, list) else {ids}


def code_files(folder: Path) -> list[Path]:
    """
    Return the .py files that the model's `auto_map` needs. A folder without them, as some programs copy models,
    gets those of this installation, if `auto_map` names its files.

    Raises:
        ValueError: `auto_map` is incomplete, or a file that it needs is not in the folder.
    """
    auto_map = read_json(folder / "config.json").get("auto_map") or {}
    for name in ("AutoConfig", "AutoModel", "AutoModelForCausalLM"):
        if name not in auto_map:
            raise ValueError(
                f"{folder}/config.json: auto_map must name {name}, so that the model loads by its own code; save it "
                "again with save_pretrained"
            )
    names = {f"{reference.split('.')[0]}.py" for reference in auto_map.values()}
    own = Path(str(files("modeling_nanochat")))
    if not any((folder / name).is_file() for name in names) and all((own / name).is_file() for name in names):
        folder = own
    needed: set[Path] = set()
    todo = [folder / name for name in sorted(names)]
    for path in todo:
        if not path.is_file():
            raise ValueError(
                f"{folder} must hold the code that auto_map needs: {path.name} is missing; save the model again with "
                "save_pretrained"
            )
        if path not in needed:
            needed.add(path)
            todo += [folder / f"{name}.py" for name in get_relative_imports(path)]
    return sorted(needed)


def stage_model(source: Path, target: Path) -> None:
    """
    Copy the files of a model that are published, and nothing else from its folder.

    Args:
        source: Folder of the saved model.
        target: Folder to write to; it is created.

    Raises:
        ValueError, FileNotFoundError: The model needs a file that is missing or damaged.
    """
    names = list(REQUIRED_FILES)
    names += [name for name in OPTIONAL_FILES if (source / name).is_file() and name not in names]
    if (source / WEIGHTS).is_file():
        names.append(WEIGHTS)
    else:
        shards = sorted(set(read_json(source / INDEX)["weight_map"].values()))
        names += [INDEX, *shards]
    target.mkdir(parents=True, exist_ok=True)
    for path in [*(source / name for name in names), *code_files(source)]:
        shutil.copyfile(path, target / path.name)
