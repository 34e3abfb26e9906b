"""
From a saved model to its repositories on the Hub: stage, check, show, and only if asked upload.

Everything that can be refused is refused before the first request that changes something.
"""

import argparse
import tempfile
from pathlib import Path

from rich.console import Console

from evaluation.complete_files import complete_file, complete_folder
from model_cards.card import metadata
from model_cards.card.counted import Counted, file_sizes
from model_cards.card.document import GgufRelease, Publication, model_card
from model_cards.card.results import read_results
from model_cards.card.training_record import TrainingRecord
from model_cards.checkpoint import Checkpoint
from model_cards.hub.staging import gguf_types, read_tokenizer, reload, stage_gguf, stage_model
from model_cards.hub.upload import log_in, upload

console = Console(highlight=False, soft_wrap=True)


def card(options: argparse.Namespace) -> int:
    """Prints the card of a model, or writes it."""
    publication = _publication(options, options.repo or f"user/{options.model.resolve().name}")
    checkpoint = Checkpoint.of_folder(options.model)
    counted = Counted.of(checkpoint)
    results = read_results(options.results, counted)
    types = gguf_types(checkpoint, None)
    gguf = (
        f"cannot run this model. {types}"
        if isinstance(types, str)
        else (f"this model can be exported to GGUF ({', '.join(types)}); no files were made with this card.")
    )
    made = model_card(publication, counted, results, TrainingRecord.of_model(options.model), gguf)
    if options.out is None:
        print(made)
        return 0
    with complete_file(options.out) as file:
        made.save(file)
    print(f"Written to {options.out}")
    return 0


def publish(options: argparse.Namespace) -> int:
    """Stages both repositories, shows them, and uploads them with `--push`."""
    publication = _publication(options, options.repo)
    metadata.check_repo(publication.gguf_repo, "--repo with -GGUF at its end")
    user = log_in() if options.push else None
    checkpoint = Checkpoint.of_folder(options.model)
    tokenizer = read_tokenizer(options.model, checkpoint.config)
    types = "was left out." if options.no_gguf else gguf_types(checkpoint, options.gguf_types)
    counted = Counted.of(checkpoint)
    results = read_results(options.results, counted)
    record = TrainingRecord.of_model(options.model)

    with tempfile.TemporaryDirectory() if options.staging is None else complete_folder(options.staging) as folder:
        staging = Path(folder)
        folders = {publication.repo: staging / publication.name}
        stage_model(options.model, folders[publication.repo])
        text = reload(folders[publication.repo])
        console.print(f"Reloaded in a clean process, it continues: {text!r}", markup=False)
        gguf: list[GgufRelease] | str
        if isinstance(types, str):
            gguf = types if options.no_gguf else f"cannot run this model. {types}"
            console.print(f"No GGUF repository: llama.cpp {gguf}", markup=False)
        else:
            folders[publication.gguf_repo] = staging / f"{publication.name}-GGUF"
            gguf = stage_gguf(
                options.model, folders[publication.gguf_repo], publication, checkpoint, tokenizer, counted, types
            )
        model_card(publication, counted, results, record, gguf).save(folders[publication.repo] / "README.md")
        for repo, folder in folders.items():
            _show(repo, folder, options.private)
        if not options.push:
            console.print(
                "Nothing was uploaded. With --push each repository is created unless it exists, and gets one commit "
                f"with these files; other files in it stay. License: {publication.license}."
            )
            return 0
        console.print(f"Uploading as {user}")
        for repo, folder in folders.items():
            done = upload(folder, repo, options.private, f"Upload {publication.name}")
            for what, names in (("Left as they were", done.kept), ("Removed weights", done.removed)):
                if names:
                    console.print(f"{what} in {repo}: {', '.join(names)}", markup=False)
            console.print(f"{repo}: {done.url}")
    return 0


def _publication(options: argparse.Namespace, repo: str) -> Publication:
    metadata.check_repo(repo, "--repo")
    metadata.check_license(options.license)
    for name in options.datasets:
        metadata.check_repo(name, "--datasets", owned=False)
    if options.base_model is not None:
        metadata.check_repo(options.base_model, "--base-model", owned=False)
    return Publication(repo, options.license, tuple(options.datasets), options.base_model)


def _show(repo: str, folder: Path, private: bool) -> None:
    sizes = file_sizes(folder)
    kind = "private" if private else "public"
    total = sum(sizes.values())
    console.print(f"\n[bold]{repo}[/bold] ({kind} if new): {len(sizes)} files, {total / 1e6:,.2f} MB")
    for name, size in sizes.items():
        console.print(f"  {size:>15,}  {name}", markup=False)
