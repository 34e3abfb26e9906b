"""The documents of a published model beside its card, each generated from files and from the model's weights."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.complete_files import complete_file
from evaluation.results import Results
from model_cards.card.render import CardContents, render_model_card
from model_cards.card.run_record import RunRecord
from model_cards.documents.benchmark_results import benchmark_results
from model_cards.documents.training_report import IMAGES, training_report

MODEL_CARD, TRAINING_REPORT, BENCHMARK_RESULTS = "MODEL_CARD.md", "TRAINING_REPORT.md", "BENCHMARK_RESULTS.md"


def write_documents(target: Path, contents: CardContents, model_folder: Path, results: Sequence[Results]) -> list[str]:
    """
    Write `MODEL_CARD.md`, `TRAINING_REPORT.md`, `BENCHMARK_RESULTS.md` and their images into a model's repository.
    Equal inputs give equal files.

    Args:
        target: Folder of the repository.
        contents: Contents of the card.
        model_folder: Where the model is saved, in or beside the folder of the run that trained it.
        results: Results files of the model.

    Returns:
        Names of the files relative to `target`.

    Raises:
        ValueError: A file of the run is damaged.
    """
    images = target / IMAGES
    images.mkdir(exist_ok=True)
    others = set(images.iterdir())
    name, repo = contents.publication.name, contents.publication.repo
    documents = {
        # The text of README.md, whose header is for the Hub.
        MODEL_CARD: render_model_card(contents).text.lstrip("\n"),
        TRAINING_REPORT: training_report(name, RunRecord.of_model(model_folder), target),
        BENCHMARK_RESULTS: benchmark_results(name, repo, results, target),
    }
    for file_name, text in documents.items():
        with complete_file(target / file_name) as partial:
            # Lone surrogates of a name of a problem are written as escapes.
            partial.write_bytes(text.encode("utf-8", "backslashreplace"))
    plots = sorted(path.name for path in images.iterdir() if path not in others)
    if not plots and not others:
        images.rmdir()
    return [*documents, *(f"{IMAGES}/{name}" for name in plots)]
