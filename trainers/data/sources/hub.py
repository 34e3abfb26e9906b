"""Data sets of the Hugging Face Hub, and what else `datasets.load_dataset` reads, as a stream."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from trainers.data.sources.columns import choose_columns, row_document
from trainers.data.sources.document import UNKNOWN_LICENSE, Document
from trainers.data.sources.source import Source, files_identity

if TYPE_CHECKING:
    from datasets import IterableDataset


class HubSource(Source):
    """
    Rows of a data set by its name, read as a stream and not stored.

    Args:
        dataset: Name on the Hub, a local folder of data files, or a format such as "json" together with `data_files`.
        split: Part of the data set.
        config: Configuration of the data set, if it has several.
        revision: Commit, tag or branch on the Hub.
        data_files: Files of the data set to read, or local files.
        columns: Names of columns by what they hold, as for `TableSource`.
        license: SPDX expression of the rows that have none.
    """

    kind = "hub"

    def __init__(
        self,
        dataset: str,
        split: str = "train",
        config: str | None = None,
        revision: str | None = None,
        data_files: str | None = None,
        columns: Mapping[str, str] | None = None,
        license: str = UNKNOWN_LICENSE,
    ):
        last = (data_files or dataset).rstrip("/").rpartition("/")[2]
        super().__init__(last.partition(".")[0] or last)
        self.dataset, self.split, self.config, self.revision = dataset, split, config, revision
        self.data_files, self.columns, self.license = data_files, dict(columns or {}), license

    def stream(self) -> "IterableDataset":
        """
        Return the rows.

        Raises:
            ValueError: There is no such data set, or it has not this split.
        """
        from datasets import load_dataset
        from datasets.exceptions import DatasetNotFoundError

        try:
            return load_dataset(
                self.dataset,
                self.config,
                split=self.split,
                revision=self.revision,
                data_files=self.data_files,
                streaming=True,
            )
        except (DatasetNotFoundError, FileNotFoundError) as error:
            raise ValueError(f"hub must name a data set that can be read, got {self.dataset!r}: {error}") from error

    def _documents(self) -> Iterator[Document]:
        columns: dict[str, str] | None = None
        for number, row in enumerate(self.stream(), 1):
            if columns is None:
                columns = choose_columns(row, self.columns, self.dataset)
            document = row_document(row, columns, self.name, str(number), self.license, self.left_out)
            if document is not None:
                yield document

    def check(self) -> None:
        first = next(iter(self.stream()), None)
        if first is None:
            raise ValueError(f"hub must name a data set with rows, got {self.dataset!r} without any in {self.split!r}")
        choose_columns(first, self.columns, self.dataset)

    def identity(self) -> str:
        """Return a hash of the files of a local data set, or of the present commit of one on the Hub."""
        settings = [self.dataset, self.split, str(self.config), str(self.data_files), self.license]
        settings.append(repr(sorted(self.columns.items())))
        local = [Path(name) for name in (self.dataset, self.data_files) if name is not None and Path(name).exists()]
        if not local:
            from huggingface_hub import HfApi

            settings.append(str(HfApi().dataset_info(self.dataset, revision=self.revision).sha))
        return files_identity(local, *settings)
