"""The card of a prepared data set, written to a file or published with the rows."""

import tempfile
from pathlib import Path

from evaluation.complete_files import check_new_file, complete_file
from evaluation.tables import plain_console
from model_cards.card.metadata import check_repo
from model_cards.hub.upload import log_in, upload
from model_cards.model_statistics import file_sizes
from trainers.data.preparation.card import data_card, data_files
from trainers.data.preparation.report import find_corpus

CARD = "README.md"
SHARDS = "rows/*.jsonl", "negatives/*.jsonl"
"""Files of an earlier version of the data set, which would be mixed up with the new ones."""
console = plain_console()


def write_card(
    data_dir: Path,
    *,
    name: str | None = None,
    command: str | None = None,
    output: Path | None = None,
    overwrite: bool = False,
    repo: str | None = None,
    push: bool = False,
    private: bool = False,
) -> None:
    """
    Write the card of a prepared data set; with `push` upload it with the rows, in one commit.

    Args:
        data_dir: Folder of the data set, or of the run that it belongs to.
        name: Title of the card; None for the name of `repo`, or a general one.
        command: Command that makes the data set; None for the one that made this folder.
        output: File for the card; None for `README.md` beside the rows, or with `push` for none.
        overwrite: Replace the file.
        repo: "user/name" on the Hub; needed to upload.
        push: Upload; otherwise no request is sent.
        private: Create a private repository; an existing public one is refused.

    Raises:
        ValueError: The data set is not finished or damaged, an option is missing, a file exists, or the Hub refuses
            the upload.
        OSError: The card cannot be written.
    """
    if repo is None and (push or private):
        raise ValueError(
            f"{'--push' if push else '--private'} needs the name of a data set on the Hub: --repo user/name"
        )
    if private and not push:
        raise ValueError("--private is about an upload: give it with --push")
    if repo is not None:
        check_repo(repo, "repo")
    corpus = find_corpus(data_dir)
    if output is None and not push:
        output = corpus / CARD
    if output is not None:
        check_new_file(output, overwrite)
    user = log_in() if push else None
    title = name or (repo.split("/")[1] if repo is not None else "Verified Rust")
    text = str(data_card(corpus, title, command, repo=repo))
    if output is not None:
        with complete_file(output) as partial:
            partial.write_text(text, encoding="utf-8")
        console.print(f"Written to {output}", markup=False)
    if not push or repo is None:
        return
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        _stage(corpus, folder, text)
        sizes = file_sizes(folder)
        console.print(f"Uploading {len(sizes)} files, {sum(sizes.values()) / 1e6:,.2f} MB, as {user}", markup=False)
        uploaded = upload(folder, repo, private, f"Upload {title}", kind="dataset", replaced=SHARDS)
    for words, others in (
        ("Other files, kept", uploaded.kept),
        ("Files of an earlier version, removed", uploaded.removed),
    ):
        if others:
            console.print(f"{words}: {', '.join(others)}", markup=False)
    console.print(f"{repo}: {uploaded.url}", markup=False)


def _stage(corpus: Path, folder: Path, card: str) -> None:
    """Put the card and links to the files of a data set into a folder; large files are not copied."""
    for name in data_files(corpus):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).symlink_to((corpus / name).resolve())
    (folder / CARD).write_text(card, encoding="utf-8")
