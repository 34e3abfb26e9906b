"""Search for secrets and for paths of this machine in files that are about to be published."""

import getpass
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub import get_token

BINARY = (".safetensors", ".gguf", ".png", ".gz", ".zip", ".parquet")
"""Suffixes of files without readable text."""
HOMES = r"(?:/home/|/Users/|[A-Z]:\\{1,2}Users\\{1,2})"
EXAMPLE_USERS = "user|username|you|me|name|someone|rust"
"""Names of nobody, which texts have in examples of paths; the last one is that of the Dockerfile."""
SECRETS = {
    "a token of Hugging Face": r"\bhf_[A-Za-z]{30,}",
    "a token of GitHub": r"\b(?:gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{50,})",
    "a key of AWS": r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b",
    "a key of an API": r"\bsk-[A-Za-z0-9_-]{24,}",
    "a private key": r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    "a bearer token": r"\bBearer [A-Za-z0-9._~+/-]{20,}",
    # Also of other machines, where results may have been measured.
    "a home folder": rf"(?<![\w.]){HOMES}(?!(?:{EXAMPLE_USERS})\b)[A-Za-z0-9_.-]+[/\\]",
    "a password in an address": r"\b[a-z]{2,10}://[^\s/:@\"'{}]+:[^\s/:@\"'{}]{3,}@",
}
SECRET_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "OPENAI_API_KEY", "LLAMA_API_KEY", "WANDB_API_KEY")
SHORTEST_SECRET = 8
"""Shorter values of these variables, such as "none", are words that texts may contain."""
MOST_SHOWN = 10


@dataclass(frozen=True)
class PrivateData:
    """
    A place in a file that must not be published.

    Attributes:
        path: Of the file, relative to its repository.
        line: Number of the line, from 1.
        kind: Kind of data that was found.
    """

    path: str
    line: int
    kind: str

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}: {self.kind}"


def check_no_private_data(folder: Path, places: Sequence[Path]) -> None:
    """
    Check all text files of a folder that is about to be published.

    Args:
        folder: The folder.
        places: Folders and files of this machine whose absolute paths must not be published.

    Raises:
        ValueError: A file has a secret or a path of this machine; names files and lines.
    """
    found = list(find_private_data(folder, places))
    if found:
        shown = "\n".join(f"  {each}" for each in found[:MOST_SHOWN])
        more = f"\n  and {len(found) - MOST_SHOWN} more" if len(found) > MOST_SHOWN else ""
        raise ValueError(
            "published files must have no secrets and no paths of this machine. Nothing was uploaded; remove them "
            f"from the model's folder, its run or its results, and replace secrets that were in a file:\n{shown}{more}"
        )


def find_private_data(folder: Path, places: Sequence[Path]) -> Iterator[PrivateData]:
    """Yield what `check_no_private_data` refuses, at most one kind for each line."""
    rules = {**SECRETS, "a path of this machine": "|".join(_machine_paths(places))}
    # `get_token` also finds the token of `hf auth login`.
    known = [*(os.environ.get(name, "") for name in SECRET_VARIABLES), get_token() or ""]
    values = [value for value in known if len(value) >= SHORTEST_SECRET]
    if values:
        rules["a token or key of yours"] = "|".join(map(re.escape, values))
    patterns = {kind: re.compile(rule) for kind, rule in rules.items()}
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or path.suffix in BINARY:
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        name = path.relative_to(folder).as_posix()
        # A search in the whole text is fast; the lines are counted only where something was found.
        suspicious = {kind: each for kind, each in patterns.items() if each.search(text)}
        if suspicious:
            for number, line in enumerate(text.split("\n"), start=1):
                kind = next((kind for kind, each in suspicious.items() if each.search(line)), None)
                if kind is not None:
                    yield PrivateData(name, number, kind)


def _machine_paths(places: Sequence[Path]) -> Iterator[str]:
    """Patterns of paths of this machine: the user's home, the folder of the process, and the given ones."""
    user = re.escape(getpass.getuser())
    yield rf"{HOMES}{user}\b"
    known = [Path.home(), Path.cwd(), *(place.absolute().parent for place in places)]
    for folder in dict.fromkeys(known):
        # The root, and folders such as /tmp or /data, are in many texts.
        if len(folder.parts) > 2 or folder == Path.home():
            yield rf"(?<![\w.])(?:{re.escape(str(folder))})(?=[/\"'\s\\]|$)"
