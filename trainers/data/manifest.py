"""The manifest of packed tokens: where they come from, how they were made, and how many they are."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from hashlib import sha256
from pathlib import Path
from typing import Any

from evaluation.complete_files import complete_file

MANIFEST_FILE = "manifest.json"
TOKENS_FILE = "tokens.bin"
FORMAT = 1
"""Version of the manifest's format."""


@dataclass(frozen=True)
class PackSettings:
    """
    How documents are packed.

    Attributes:
        seq_len: Tokens per block.
        document_masking: Whether attention stays within documents, by position ids that begin again with each.
        fim_rate: Share of the documents whose middle is moved to the end (fill-in-the-middle).
        seed: Seed of the choices for fill-in-the-middle.

    Raises:
        ValueError: A value is out of range.
    """

    seq_len: int
    document_masking: bool = False
    fim_rate: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seq_len < 2:
            raise ValueError(f"seq_len must be at least 2, got {self.seq_len!r}")
        if not 0 <= self.fim_rate <= 1:
            raise ValueError(f"fim_rate must be from 0 to 1, got {self.fim_rate!r}")


@dataclass(frozen=True)
class Counts:
    """Number of documents, of their tokens with bos and eos, and of their bytes in UTF-8."""

    documents: int = 0
    tokens: int = 0
    bytes: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(self.documents + other.documents, self.tokens + other.tokens, self.bytes + other.bytes)


@dataclass(frozen=True)
class Totals:
    """
    Counts and hashes of packed documents.

    Attributes:
        total: Counts of all documents; repeated documents count each time.
        by_source: Counts by source.
        by_mix: Counts by part of the mix.
        licenses: Number of documents by license.
        documents_sha256: Hash of the documents in their order, with their columns.
        tokens_sha256: Hash of the file of tokens.
    """

    total: Counts
    by_source: Mapping[str, Counts]
    by_mix: Mapping[str, Counts]
    licenses: Mapping[str, int]
    documents_sha256: str
    tokens_sha256: str


@dataclass(frozen=True)
class Manifest(Totals):
    """
    Description of packed tokens.

    Attributes:
        blocks: Number of complete blocks of `settings.seq_len` tokens.
        settings: How the documents were packed.
        dtype: NumPy's name of the type of a token id in the file.
        bos_token_id: First token of every document.
        tokenizer_sha256: Hash of the tokenizer.
        inputs: Identities of the inputs by name, such as the hashes of files.
        versions: Versions of this package, of the library tokenizers, and of rustc if documents were verified.
    """

    blocks: int
    settings: PackSettings
    dtype: str
    bos_token_id: int
    tokenizer_sha256: str
    inputs: Mapping[str, str]
    versions: Mapping[str, str]
    format: int = FORMAT


def write_json_file(path: Path, value: Any) -> None:
    """
    Write a dataclass to a JSON file, which is replaced as a whole.

    Raises:
        OSError: The file cannot be written.
    """
    with complete_file(path) as partial:
        partial.write_text(json.dumps(asdict(value), indent=2) + "\n")


def totals_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of [`Totals`] from values of JSON."""
    named = {name: {key: Counts(**counts) for key, counts in values[name].items()} for name in ("by_source", "by_mix")}
    rest = {field.name: values[field.name] for field in fields(Totals) if field.name not in ("total", *named)}
    return {"total": Counts(**values["total"]), **named, **rest}


def read_manifest(folder: Path) -> Manifest:
    """
    Read the manifest of a folder.

    Raises:
        ValueError: There is none, so that its blocks are missing or incomplete, or it cannot be read.
    """
    path = folder / MANIFEST_FILE
    if not path.is_file():
        raise ValueError(f"{folder} must be a folder of packed blocks, got one without {MANIFEST_FILE}; pack again")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        others = {name: values[name] for name in Manifest.__match_args__ if name not in Totals.__match_args__}
        others["settings"] = PackSettings(**others["settings"])
        manifest = Manifest(**totals_of(values), **others)
    except (json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} must be a manifest of packed blocks, got another content ({error!r})") from error
    if manifest.format != FORMAT:
        raise ValueError(f"{path} must have the format {FORMAT}, got {manifest.format}; pack again")
    return manifest


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file."""
    digest = sha256()
    with path.open("rb") as file:
        while part := file.read(2**20):
            digest.update(part)
    return digest.hexdigest()


def file_identities(paths: Iterable[Path]) -> dict[str, str]:
    """
    Return the hashes of files by name, as the `inputs` of a manifest.

    Raises:
        ValueError: Two files have the same name.
    """
    paths = list(paths)
    repeated = [name for name, count in Counter(path.name for path in paths).items() if count > 1]
    if repeated:
        raise ValueError(f"inputs must be files with different names, got {repeated[0]} more than once")
    return {path.name: file_sha256(path) for path in paths}


def check_manifest(
    folder: Path, inputs: Mapping[str, str] | None = None, tokenizer_sha256: str | None = None
) -> Manifest:
    """
    Check that packed tokens are undamaged, and still those of their inputs. The file of tokens is read once.

    Args:
        folder: Folder with the manifest.
        inputs: Identities of the present inputs by name, see [`file_identities`]; None leaves them out.
        tokenizer_sha256: Hash of the tokenizer to train with; None leaves it out.

    Returns:
        The manifest.

    Raises:
        ValueError: Names every input that changed, is new or is missing, and the file that is damaged.
    """
    manifest = read_manifest(folder)
    faults = [] if inputs is None else input_faults(manifest.inputs, inputs)
    if tokenizer_sha256 not in (None, manifest.tokenizer_sha256):
        faults.append("the tokenizer is another one")
    path = folder / TOKENS_FILE
    if not path.is_file():
        faults.append(f"{TOKENS_FILE} is missing")
    elif file_sha256(path) != manifest.tokens_sha256:
        faults.append(f"{TOKENS_FILE} is damaged")
    if faults:
        raise ValueError(
            f"{folder} must hold the blocks of its manifest and inputs, but {', '.join(faults)}; pack again"
        )
    return manifest


def input_faults(packed: Mapping[str, str], present: Mapping[str, str]) -> list[str]:
    """Return a phrase for each input that is missing, new or different."""
    faults = []
    for name in sorted({*packed, *present}):
        if name not in present:
            faults.append(f"input {name} is missing")
        elif name not in packed:
            faults.append(f"input {name} is new")
        elif packed[name] != present[name]:
            faults.append(f"input {name} has changed")
    return faults
