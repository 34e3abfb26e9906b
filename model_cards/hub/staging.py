"""
The folders that are uploaded: a model with everything it needs to load by its own code, and its GGUF files. Both are
checked here, and nothing else is ever uploaded.
"""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

from transformers import GenerationConfig, PreTrainedTokenizerFast
from transformers.dynamic_module_utils import get_relative_imports

from evaluation.clean_process import complete_in_clean_process
from model_cards.card.build import cannot_run
from model_cards.card.metadata import Publication
from model_cards.card.render import CardContents, VerifiedGguf, render_gguf_card, render_model_card
from model_cards.card.results import as_published, published_name, read_results
from model_cards.card.training_record import TrainingRecord
from model_cards.checkpoint import INDEX, TOKENIZER_FILES, WEIGHTS, LoopLMCheckpoint, read_json, read_tokenizer
from model_cards.documents.write import write_documents
from model_cards.gguf.export import export_gguf
from model_cards.gguf.folder import load_float32
from model_cards.gguf.limits import check_types, choose_types
from model_cards.gguf.verify import verify_gguf
from model_cards.hub.private_data import check_no_private_data
from model_cards.model_statistics import ModelStatistics
from model_cards.snapshot.write import write_snapshot
from modeling_nanochat import LoopLMConfig

REQUIRED_FILES = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")
OPTIONAL_FILES = (*TOKENIZER_FILES, "vocab.json", "merges.txt", "chat_template.jinja")
PROMPT = "fn main() {\n"


@dataclass(frozen=True)
class StagedRepositories:
    """
    Repositories that are ready to be uploaded.

    Attributes:
        folders: Folder with the files of each repository, by "user/name".
        completion: What the staged model generated in a clean process, after [`PROMPT`].
        gguf_note: Why there are no GGUF files; empty if there are.
    """

    folders: dict[str, Path]
    completion: str
    gguf_note: str


def stage(
    folder: Path,
    staging: Path,
    publication: Publication,
    *,
    results: Sequence[Path] = (),
    gguf: bool = True,
    gguf_types: Sequence[str] | None = None,
) -> StagedRepositories:
    """
    Write the files of a model's repositories to subfolders of `staging`, and check them.

    Args:
        folder: A saved LoopLM with its tokenizer and its code.
        staging: Existing folder to write to.
        publication: Repository, license, and other statements for the card.
        results: Results files of this model, or folders with results files.
        gguf: Also stage GGUF files, unless llama.cpp cannot run the model.
        gguf_types: Types of these files; None: those of [`choose_types`].

    Raises:
        ValueError: The model or its results are faulty, a type that was asked for is not possible, or a GGUF file
            disagrees with the model.
        FileNotFoundError: A file is missing.
    """
    checkpoint = LoopLMCheckpoint.from_folder(folder)
    for name in REQUIRED_FILES:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} must hold a model with its tokenizer: it has no {name}")
        read_json(folder / name)
    tokenizer = read_tokenizer(folder)
    check_special_tokens(tokenizer, checkpoint.config, GenerationConfig.from_pretrained(folder))
    types, note = (), "GGUF files were left out."
    if gguf:
        types, note = _gguf_types(checkpoint, gguf_types)
    statistics = ModelStatistics.from_checkpoint(checkpoint)
    measured = read_results(results, statistics, folder)
    training = TrainingRecord.from_model_folder(folder)

    folders = {publication.repo: staging / publication.name}
    stage_model(folder, folders[publication.repo])
    for each in measured:
        target = folders[publication.repo] / published_name(each)
        as_published(each, publication.repo).write(folders[publication.repo]).rename(target)
    completion = complete_in_clean_process(folders[publication.repo], PROMPT, max_new_tokens=16, temperature=0)
    verified: list[VerifiedGguf] = []
    if types:
        folders[publication.gguf_repo] = staging / f"{publication.name}-GGUF"
        verified = stage_gguf(folder, folders[publication.gguf_repo], publication, checkpoint, tokenizer, types)
        render_gguf_card(publication, statistics, verified).save(folders[publication.gguf_repo] / "README.md")
    contents = CardContents(publication, statistics, measured, training, verified, note)
    render_model_card(contents).save(folders[publication.repo] / "README.md")
    write_documents(folders[publication.repo], contents, folder, measured)
    write_snapshot(folders[publication.repo], folder, measured, publication.repo)
    for staged in folders.values():
        check_no_private_data(staged, (folder, *results))
    return StagedRepositories(folders, completion, note)


def _gguf_types(checkpoint: LoopLMCheckpoint, asked: Sequence[str] | None) -> tuple[tuple[str, ...], str]:
    """Types to export, and a note when there are none."""
    if asked is not None:
        types = tuple(dict.fromkeys(asked))
        check_types(checkpoint, types)
        return types, ""
    try:
        return choose_types(checkpoint), ""
    except ValueError as error:
        return (), cannot_run(error)


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


def stage_gguf(
    source: Path,
    target: Path,
    publication: Publication,
    checkpoint: LoopLMCheckpoint,
    tokenizer: PreTrainedTokenizerFast,
    types: Sequence[str],
) -> list[VerifiedGguf]:
    """
    Export a model in each of these types to a new folder, and compare each file with the model in llama.cpp.

    Raises:
        ValueError: A file disagrees with the model.
    """
    target.mkdir(parents=True, exist_ok=True)
    verified = []
    model = load_float32(source)
    for type in types:
        name = f"{publication.name}-{type.upper()}.gguf"
        written = export_gguf(checkpoint, tokenizer, target / name, type=type, name=publication.name)
        agreement = verify_gguf(written.path, model, tokenizer)
        if agreement.problems:
            raise ValueError(
                f"{name} must compute in llama.cpp what the model computes: {'; '.join(agreement.problems)}. Nothing "
                "was uploaded; leave this type out with --gguf-types, or all of them with --no-gguf"
            )
        verified.append(VerifiedGguf(name, type, written.nbytes, agreement))
    return verified
