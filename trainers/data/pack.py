"""Packing of documents into a file of token ids, from which blocks of any length are read."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import BinaryIO, overload

import numpy as np
from datasets import Dataset
from transformers import PreTrainedTokenizerFast

from evaluation.complete_files import named_in_errors
from trainers.data.blocks import TokenBlocks
from trainers.data.encoding import TextEncoder, tokenizer_sha256
from trainers.data.fill_in_the_middle import FimTokens, split_document
from trainers.data.manifest import (
    MANIFEST_FILE,
    TOKENS_FILE,
    Counts,
    Manifest,
    PackSettings,
    Totals,
    input_faults,
    read_manifest,
    totals_of,
    write_json_file,
)
from trainers.data.mix import MixedDocument

PROGRESS_FILE = "progress.json"
BATCH_BYTES = 2**20
"""Bytes of text that are encoded together."""
PROGRESS_BYTES = 2**26
"""Bytes of text after which the progress is saved."""


@dataclass(frozen=True)
class Progress(Totals):
    """Documents that are in the file of tokens, and how they were packed."""

    settings: PackSettings
    tokenizer_sha256: str


def pack_documents(
    folder: Path,
    documents: Iterable[MixedDocument],
    tokenizer: PreTrainedTokenizerFast,
    settings: PackSettings,
    inputs: Mapping[str, str] | None = None,
    rustc: str | None = None,
) -> Manifest:
    """
    Write the token ids of documents, each between a bos and an eos token, to a file, and a manifest beside it.

    The documents are read once. Memory does not grow with their number, but with the largest. If the call is killed,
    an equal call continues where the progress was last saved, and its files are equal to those of an undisturbed call;
    until the manifest is written, [`open_blocks`] opens nothing. If the folder is complete, it is only compared.

    Args:
        folder: Folder to write into; it is created.
        documents: Documents, in the order in which they are joined.
        tokenizer: Tokenizer of [`train_tokenizer`], with fill-in-the-middle if `fim_rate` is above 0.
        settings: How documents are packed.
        inputs: Identities of what the documents come from, by name, see [`file_identities`]; for the manifest.
        rustc: Version of the compiler that verified the documents, for the manifest.

    Returns:
        The manifest.

    Raises:
        ValueError: The documents do not fill one block, one of them is no valid text, the tokenizer lacks a token, or
            the folder holds tokens of other documents, settings or inputs.
        OSError: The file cannot be written, for example because the disk is full; names the file.
    """
    packer = _Packer(folder, tokenizer, settings)
    inputs = dict(inputs or {})
    remaining = iter(documents)
    if (folder / MANIFEST_FILE).exists():
        manifest = read_manifest(folder)
        packer.skip(remaining, manifest)
        faults = input_faults(manifest.inputs, inputs)
        if next(remaining, None) is not None:
            faults.append("there are further documents")
        if faults:
            raise _other_tokens(folder, faults)
        return manifest
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / PROGRESS_FILE).exists():
        packer.skip(remaining, _read_progress(folder / PROGRESS_FILE))
    with named_in_errors(folder / TOKENS_FILE):
        packer.append(remaining)
    totals = packer.totals()
    if totals.total.tokens < settings.seq_len:
        (folder / TOKENS_FILE).unlink()
        (folder / PROGRESS_FILE).unlink(missing_ok=True)
        raise _too_little(settings.seq_len, totals.total.tokens, totals.total.documents)
    versions = {name: version(name) for name in ("nanochat-ternary", "tokenizers")}
    manifest = Manifest(
        **vars(totals),
        blocks=totals.total.tokens // settings.seq_len,
        settings=settings,
        dtype=packer.encoder.dtype.name,
        bos_token_id=tokenizer.bos_token_id,
        tokenizer_sha256=packer.tokenizer_sha256,
        inputs=inputs,
        versions=versions if rustc is None else versions | {"rustc": rustc},
    )
    write_json_file(folder / MANIFEST_FILE, manifest)
    (folder / PROGRESS_FILE).unlink(missing_ok=True)
    return manifest


class _Packer:
    """Appends documents to a file of tokens, and counts them."""

    def __init__(self, folder: Path, tokenizer: PreTrainedTokenizerFast, settings: PackSettings):
        self.folder, self.settings = folder, settings
        self.encoder = TextEncoder(tokenizer)
        self.tokenizer_sha256 = tokenizer_sha256(tokenizer)
        self._fim = FimTokens.of(tokenizer) if settings.fim_rate > 0 else None
        self._bos, self._eos = (self._bytes_of(each) for each in (tokenizer.bos_token_id, tokenizer.eos_token_id))
        self._documents_sha256, self._tokens_sha256 = sha256(), sha256()
        self._total = Counts()
        self._by_source: defaultdict[str, Counts] = defaultdict(Counts)
        self._by_mix: defaultdict[str, Counts] = defaultdict(Counts)
        self._licenses: Counter[str] = Counter()

    def skip(self, documents: Iterator[MixedDocument], done: Progress | Manifest) -> None:
        """
        Go past the documents that are in the file.

        Raises:
            ValueError: The file holds other documents, was made with other settings, or is damaged.
        """
        before, now = asdict(done.settings), asdict(self.settings)
        faults = [
            f"its {name} is {before[name]!r} instead of {now[name]!r}" for name in now if before[name] != now[name]
        ]
        if done.tokenizer_sha256 != self.tokenizer_sha256:
            faults.append("its tokenizer is another one")
        if faults:
            raise _other_tokens(self.folder, faults)
        for _ in range(done.total.documents):
            document = next(documents, None)
            if document is None:
                break
            self._identify(document)
        if self._documents_sha256.hexdigest() != done.documents_sha256:
            raise _other_tokens(self.folder, ["its documents are other ones"])
        path = self.folder / TOKENS_FILE
        size = done.total.tokens * self.encoder.dtype.itemsize
        if path.is_file():
            with path.open("rb") as file:
                while size and (part := file.read(min(size, 2**20))):
                    self._tokens_sha256.update(part)
                    size -= len(part)
        if self._tokens_sha256.hexdigest() != done.tokens_sha256:
            raise _other_tokens(self.folder, [f"{TOKENS_FILE} is damaged"])
        self._total = done.total
        self._by_source.update(done.by_source)
        self._by_mix.update(done.by_mix)
        self._licenses.update(done.licenses)

    def append(self, documents: Iterator[MixedDocument]) -> None:
        """Write the documents behind those in the file, and save the progress now and then."""
        path = self.folder / TOKENS_FILE
        saved = self._total.bytes
        with path.open("r+b" if path.exists() else "w+b") as file:
            # Remove what was written after the progress was last saved.
            file.truncate(self._total.tokens * self.encoder.dtype.itemsize)
            file.seek(0, 2)
            for batch in _batches(documents):
                sizes = [self._identify(document) for document in batch]
                for document, size, tokens in zip(batch, sizes, self._encode(batch), strict=True):
                    self._count(document, Counts(1, len(tokens) // self.encoder.dtype.itemsize, size))
                    self._tokens_sha256.update(tokens)
                    file.write(tokens)
                if self._total.bytes - saved >= PROGRESS_BYTES:
                    _flush(file)
                    self._save_progress()
                    saved = self._total.bytes
            _flush(file)

    def totals(self) -> Totals:
        """Return the counts and hashes so far, names in alphabetical order."""
        return Totals(
            self._total,
            dict(sorted(self._by_source.items())),
            dict(sorted(self._by_mix.items())),
            dict(sorted(self._licenses.items())),
            self._documents_sha256.hexdigest(),
            self._tokens_sha256.hexdigest(),
        )

    def _save_progress(self) -> None:
        progress = Progress(**vars(self.totals()), settings=self.settings, tokenizer_sha256=self.tokenizer_sha256)
        write_json_file(self.folder / PROGRESS_FILE, progress)

    def _encode(self, batch: Sequence[MixedDocument]) -> list[bytes]:
        """Return the tokens of each document, with bos and eos."""
        pieces: list[list[int | str]] = []
        for mixed in batch:
            text = mixed.document.code
            key = f"{self.settings.seed} {mixed.repetition} {mixed.document.id}"
            split = None if self._fim is None else split_document(text, key, self.settings.fim_rate)
            pieces.append([text] if self._fim is None or split is None else split.pieces(self._fim))
        encoded = iter(self.encoder.encode([piece for each in pieces for piece in each if isinstance(piece, str)]))
        return [
            b"".join(
                [
                    self._bos,
                    *(self._bytes_of(piece) if isinstance(piece, int) else next(encoded) for piece in each),
                    self._eos,
                ]
            )
            for each in pieces
        ]

    def _identify(self, mixed: MixedDocument) -> int:
        """
        Add a document to the hash of all documents, and return its bytes.

        Raises:
            ValueError: It has a lone surrogate, which UTF-8 cannot encode.
        """
        row = mixed.document
        try:
            code = row.code.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"code must be text that UTF-8 can encode, got document {row.id} with {error}") from error
        columns = json.dumps([row.id, row.source, row.path, row.kind, row.license, mixed.mix, mixed.repetition])
        self._documents_sha256.update(f"{columns}\n".encode() + code + b"\n")
        return len(code)

    def _count(self, mixed: MixedDocument, one: Counts) -> None:
        self._total += one
        self._by_source[mixed.document.source] += one
        self._by_mix[mixed.mix] += one
        self._licenses[mixed.document.license] += 1

    def _bytes_of(self, token_id: int) -> bytes:
        return np.array(token_id, dtype=self.encoder.dtype).tobytes()


def _batches(documents: Iterator[MixedDocument]) -> Iterator[list[MixedDocument]]:
    """Yield the documents in batches of about `BATCH_BYTES` bytes."""
    batch: list[MixedDocument] = []
    size = 0
    for document in documents:
        batch.append(document)
        size += len(document.document.code)
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _flush(file: BinaryIO) -> None:
    """Write everything to the disk, so that what is recorded afterwards holds even if the machine fails."""
    file.flush()
    os.fsync(file.fileno())


def _read_progress(path: Path) -> Progress:
    values = json.loads(path.read_text())
    settings = PackSettings(**values["settings"])
    return Progress(**totals_of(values), settings=settings, tokenizer_sha256=values["tokenizer_sha256"])


def _other_tokens(folder: Path, faults: Sequence[str]) -> ValueError:
    return ValueError(
        f"{folder} must be a new folder or hold tokens of the same documents and settings, but {', '.join(faults)}; "
        "delete it or choose another folder"
    )


def _too_little(seq_len: int, tokens: int, texts: int) -> ValueError:
    return ValueError(
        f"the data must fill at least one block of seq_len={seq_len} tokens, got {tokens} tokens in {texts} texts; "
        "give more data or a shorter seq_len"
    )


def pack_blocks(texts: Sequence[str], tokenizer: PreTrainedTokenizerFast, seq_len: int) -> Dataset:
    """
    Join a few texts in memory, each between a bos and an eos token, and cut the result into blocks.

    Args:
        texts: Documents, in the order in which they are joined.
        tokenizer: Tokenizer with a bos and an eos token.
        seq_len: Tokens per block. An incomplete block at the end is dropped.

    Returns:
        Dataset with the column `input_ids`, `(seq_len,)` per row.

    Raises:
        ValueError: The texts do not fill one block.
    """
    encoder = TextEncoder(tokenizer)
    bos, eos = (np.array(each, encoder.dtype).tobytes() for each in (tokenizer.bos_token_id, tokenizer.eos_token_id))
    stream = np.frombuffer(b"".join(bos + tokens + eos for tokens in encoder.encode(texts)), encoder.dtype)
    num_blocks = len(stream) // seq_len
    if num_blocks == 0:
        raise _too_little(seq_len, len(stream), len(texts))
    blocks = stream[: num_blocks * seq_len].astype(np.int32).reshape(num_blocks, seq_len)
    return Dataset.from_dict({"input_ids": blocks})


@overload
def regroup_blocks(blocks: Dataset, seq_len: int) -> Dataset: ...
@overload
def regroup_blocks(blocks: TokenBlocks, seq_len: int) -> TokenBlocks: ...
def regroup_blocks(blocks: Dataset | TokenBlocks, seq_len: int) -> Dataset | TokenBlocks:
    """
    Return the same tokens in the same order as blocks of another length. An incomplete block at the end is dropped.

    Of a data set in memory, the tokens are copied.

    Raises:
        ValueError: The tokens do not fill one block.
    """
    if isinstance(blocks, TokenBlocks):
        return blocks.regroup(seq_len)
    if len(blocks) and len(blocks[0]["input_ids"]) == seq_len:
        return blocks
    stream = np.concatenate(blocks.with_format("numpy")["input_ids"][:]) if len(blocks) else np.zeros(0)
    num_blocks = len(stream) // seq_len
    if num_blocks == 0:
        raise ValueError(
            f"the data must fill at least one block of seq_len={seq_len} tokens, got {len(stream)} tokens"
        )
    return Dataset.from_dict({"input_ids": stream[: num_blocks * seq_len].reshape(num_blocks, seq_len)})
