"""
The folders that are uploaded: a model with everything it needs to load by its own code, and its GGUF files. Both are
checked here, and nothing else is ever uploaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from transformers import GenerationConfig, PreTrainedTokenizerFast

from evaluation.clean_process import complete_in_clean_process
from model_cards.card.build import cannot_run
from model_cards.card.metadata import Publication
from model_cards.card.render import CardContents, VerifiedGguf, render_gguf_card, render_model_card
from model_cards.card.results import as_published, published_name, read_results
from model_cards.card.training_record import TrainingRecord
from model_cards.checkpoint import LoopLMCheckpoint, read_json, read_tokenizer
from model_cards.documents.write import write_documents
from model_cards.gguf.export import export_gguf
from model_cards.gguf.folder import load_float32
from model_cards.gguf.limits import check_types, choose_types
from model_cards.gguf.verify import verify_gguf
from model_cards.hub.private_data import check_no_private_data
from model_cards.model_folder import REQUIRED_FILES, check_special_tokens, stage_model
from model_cards.model_statistics import ModelStatistics
from model_cards.snapshot.write import write_snapshot

PROMPT = "fn main() {"


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
