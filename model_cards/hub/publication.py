"""
Publication of a saved model on the Hub: stage both repositories, list their files, and upload them only if asked.

Everything that can be refused is refused before the first request that changes something on the Hub.
"""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from evaluation.complete_files import complete_folder
from model_cards.card.metadata import Publication, check_repo
from model_cards.checklist.show import show_checklist
from model_cards.hub.staging import stage
from model_cards.hub.upload import log_in, upload
from model_cards.model_statistics import file_sizes

console = Console(highlight=False, soft_wrap=True)


def publish(
    folder: Path,
    repo: str,
    *,
    license: str = "mit",
    datasets: Sequence[str] = (),
    base_model: str | None = None,
    results: Sequence[Path] = (),
    gguf: bool = True,
    gguf_types: Sequence[str] | None = None,
    private: bool = False,
    revision: str | None = None,
    push: bool = False,
    output_dir: Path | None = None,
) -> None:
    """
    Stage the repositories of a model and of its GGUF files, list their files, and upload them with `push`.

    Args:
        folder: A saved LoopLM with its tokenizer and its code.
        repo: "user/name" on the Hub; the GGUF files go to "user/name-GGUF".
        license, datasets, base_model: See [`Publication`].
        results: Results files of this model, or folders with results files.
        gguf: Also publish GGUF files.
        gguf_types: Types of these files; None: those of [`choose_types`].
        private: Create private repositories.
        revision: Branch of both repositories, created unless it exists; None for the main one.
        push: Upload; otherwise no request is sent.
        output_dir: New folder for the staged files; None: a temporary one.

    Raises:
        ValueError: The model, its metadata or its results are faulty, a GGUF file disagrees with the model, or the Hub
            refuses the upload.
        OSError: A file is missing, or the staged files cannot be written.
    """
    publication = Publication(repo, license, tuple(datasets), base_model)
    check_repo(publication.gguf_repo, "repo with -GGUF appended")
    if revision is not None:
        check_branch(revision)
    user = log_in() if push else None
    with tempfile.TemporaryDirectory() if output_dir is None else complete_folder(output_dir) as place:
        staged = stage(folder, Path(place), publication, results=results, gguf=gguf, gguf_types=gguf_types)
        console.print(f"Reloaded in a clean process, it continues: {staged.completion!r}", markup=False)
        if staged.gguf_note:
            console.print(f"No GGUF repository: {staged.gguf_note}", markup=False)
        for name, files in staged.folders.items():
            _list_files(name, files, private)
        show_checklist(console, folder, results, gguf)
        if not push:
            console.print(
                "Nothing was uploaded. With --push each repository is created unless it exists, and gets one commit "
                f"with these files; other files in it are kept. License: {publication.license}."
            )
            return
        console.print(f"Uploading as {user}")
        for name, files in staged.folders.items():
            uploaded = upload(files, name, private, f"Upload {publication.name}", revision=revision)
            for title, others in (("Other files, kept", uploaded.kept), ("Removed weights", uploaded.removed)):
                if others:
                    console.print(f"{title} in {name}: {', '.join(others)}", markup=False)
            console.print(f"{name}: {uploaded.url}")
        if revision is not None:
            console.print(
                f'Load it with AutoModelForCausalLM.from_pretrained("{repo}", revision="{revision}", '
                "trust_remote_code=True)",
                markup=False,
            )


def check_branch(name: str) -> None:
    """Check the name of a branch by Git's rules. Raises `ValueError`."""
    part = r"(?![.-])[\w.+-]+(?<!\.lock)(?<!\.)"
    if not re.fullmatch(rf"{part}(/{part})*", name, re.ASCII) or ".." in name:
        raise ValueError(
            f"revision must be the name of a branch, of letters, digits and . _ + - between slashes, got {name!r}"
        )


def _list_files(repo: str, folder: Path, private: bool) -> None:
    sizes: dict[str, int] = {}
    files = file_sizes(folder)
    for name, size in files.items():
        top, slash, _ = name.partition("/")
        sizes[top + slash] = sizes.get(top + slash, 0) + size
    kind = "private" if private else "public"
    total = sum(sizes.values())
    console.print(f"\n[bold]{repo}[/bold] ({kind} if new): {len(files)} files, {total / 1e6:,.2f} MB")
    for name, size in sizes.items():
        console.print(f"  {size:>15,}  {name}", markup=False)
