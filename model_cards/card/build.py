"""The card of a saved model, from its folder."""

from collections.abc import Sequence
from pathlib import Path

from huggingface_hub import ModelCard

from model_cards.card.metadata import Publication
from model_cards.card.render import CardContents, render_model_card
from model_cards.card.results import read_results
from model_cards.card.training_record import TrainingRecord
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.limits import choose_types
from model_cards.model_statistics import ModelStatistics


def build_card(
    folder: Path,
    *,
    repo: str | None = None,
    license: str = "mit",
    datasets: Sequence[str] = (),
    base_model: str | None = None,
    results: Sequence[Path] = (),
) -> ModelCard:
    """
    Build the card of a saved LoopLM. Nothing is sent anywhere.

    Args:
        folder: The saved model.
        repo: Repository on the Hub, for the examples in the card; None: "user/" and the name of the folder.
        license, datasets, base_model: See [`Publication`].
        results: Results files of this model, or folders with results files.

    Raises:
        ValueError: The Hub would refuse the metadata, results are of another model, or the model is damaged.
        FileNotFoundError: A file or folder is missing.
    """
    publication = Publication(repo or f"user/{folder.resolve().name}", license, tuple(datasets), base_model)
    checkpoint = LoopLMCheckpoint.from_folder(folder)
    statistics = ModelStatistics.from_checkpoint(checkpoint)
    contents = CardContents(
        publication,
        statistics,
        results=read_results(results, statistics, folder),
        training=TrainingRecord.from_model_folder(folder),
        gguf_note=_gguf_note(checkpoint),
    )
    return render_model_card(contents)


def _gguf_note(checkpoint: LoopLMCheckpoint) -> str:
    try:
        types = choose_types(checkpoint)
    except ValueError as error:
        return cannot_run(error)
    return f"This model can be exported to GGUF ({', '.join(types)}); no files were made with this card."


def cannot_run(reason: ValueError) -> str:
    """Note that llama.cpp cannot run a model, with the reasons of [`choose_types`]."""
    return f"llama.cpp cannot run this model. {reason}"
