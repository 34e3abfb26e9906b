"""Upload of a staged folder to the Hub, in one commit that the Hub validates before large files are sent."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

from httpx2 import HTTPError
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError

WEIGHTS = "*.safetensors", "*.safetensors.index.json"


RULES = {
    401: "the Hub does not accept the token: log in again with `hf auth login`, or correct HF_TOKEN",
    403: "the token must have the permission to write to {repo}: make one that has it in the settings of the Hub",
    404: "the Hub finds no {repo} that this token may see: check the name, and the rights of the token",
    409: "{repo} is taken on the Hub, or changed during the upload: choose another name, or repeat the command",
    413: "the Hub accepts no file or commit of this size: publish fewer files with --gguf-types or --no-gguf",
    429: "the Hub asks for a pause after many requests: repeat the command later to continue",
}
"""Sentence for each status of the Hub that has a remedy of its own."""


@dataclass(frozen=True)
class Uploaded:
    """
    Result of an upload.

    Attributes:
        url: Address of the commit.
        kept: Other files in the repository, which were kept.
        removed: Files of an earlier version, which would have been mixed up with the new ones.
    """

    url: str
    kept: tuple[str, ...]
    removed: tuple[str, ...]


def log_in() -> str:
    """
    Return the name of the user whose token is used.

    Raises:
        ValueError: There is no token, or the Hub does not accept it.
    """
    if get_token() is None:
        raise ValueError(
            "--push needs a token with write access to the Hub: log in with `hf auth login`, or set HF_TOKEN"
        )
    with _one_sentence_errors(None):
        return HfApi().whoami()["name"]


def upload(
    folder: Path,
    repo: str,
    private: bool,
    message: str,
    *,
    revision: str | None = None,
    kind: Literal["model", "dataset"] = "model",
    replaced: Sequence[str] = WEIGHTS,
) -> Uploaded:
    """
    Create a repository unless it exists, and add a commit with the files of a folder. An interrupted upload does not
    change the files of the repository; when it is repeated, only missing data are sent.

    Args:
        folder: All files in it and in its subfolders are uploaded.
        repo: "user/name" on the Hub.
        private: Create a private repository; an existing public one is refused.
        message: Message of the commit.
        revision: Branch to commit to, which is created from the main one unless it exists; None for the main one.
        kind: Kind of the repository.
        replaced: Patterns of the names of files that are removed unless they are in `folder`, because they would be
            mixed up with the new ones. A pattern without a slash is for the top folder only.

    Raises:
        ValueError: The Hub refuses the upload, or cannot be reached.
    """
    with _one_sentence_errors(repo):
        api = HfApi()
        api.create_repo(repo, private=private, exist_ok=True, repo_type=kind)
        if private and not api.repo_info(repo, repo_type=kind).private:
            raise ValueError(f"--private needs a private repository, and {repo} is public: change it on the Hub first")
        if revision is not None:
            api.create_branch(repo, branch=revision, exist_ok=True, repo_type=kind)
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        own = {path.relative_to(folder).as_posix(): path for path in files}
        there = api.list_repo_files(repo, revision=revision, repo_type=kind)
        others = [name for name in there if name not in own and name != ".gitattributes"]
        removed = [name for name in others if any(_matches(name, pattern) for pattern in replaced)]
        operations = [CommitOperationAdd(name, path) for name, path in own.items()]
        # Not `upload_folder`, which may make several commits and has the card checked last.
        commit = api.create_commit(
            repo,
            [*operations, *(CommitOperationDelete(name) for name in removed)],
            commit_message=message,
            revision=revision,
            repo_type=kind,
        )
    kept = tuple(name for name in others if name not in removed)
    return Uploaded(commit.commit_url, kept, tuple(removed))


def _matches(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)


@contextmanager
def _one_sentence_errors(repo: str | None) -> Iterator[None]:
    """Turn errors of the Hub and of the connection into a ValueError of one sentence; `repo` is written to."""
    try:
        yield
    except HfHubHTTPError as error:
        raise ValueError(_words(error, repo)) from error
    except HTTPError as error:
        raise ValueError(f"the Hub must be reachable, got: {error}; repeat the command to continue") from error
    except RuntimeError as error:
        # Raised by the library when the upload of a large file fails.
        reason = f"{error} {error.__cause__ or ''}".strip().splitlines()[0]
        if isinstance(error.__cause__, HfHubHTTPError):
            reason = f"{_words(error.__cause__, repo)}, {reason}"
        raise ValueError(f"{reason}; repeat the command to continue") from error


def _words(error: HfHubHTTPError, repo: str | None) -> str:
    status = error.response.status_code
    said = error.server_message or str(error).splitlines()[0]
    if _is_quota(status, said):
        rule = "the storage of this account on the Hub is full: delete files there, or get more storage"
    elif status >= 500:
        rule = f"the Hub fails at the moment with status {status}: repeat the command later to continue"
    else:
        rule = RULES.get(status, f"the Hub answered {status}").format(repo=repo)
    return f"{rule} ({said})"


def _is_quota(status: int, said: str) -> bool:
    """Whether an answer is about storage. The Hub gives no status of its own for it, only words."""
    words = said.lower()
    return status == 402 or (status in (403, 413) and ("storage" in words or "quota" in words))
