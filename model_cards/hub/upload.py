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
    with _one_sentence_errors():
        return HfApi().whoami()["name"]


def upload(
    folder: Path,
    repo: str,
    private: bool,
    message: str,
    *,
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
        kind: Kind of the repository.
        replaced: Patterns of the names of files that are removed unless they are in `folder`, because they would be
            mixed up with the new ones. A pattern without a slash is for the top folder only.

    Raises:
        ValueError: The Hub refuses the upload, or cannot be reached.
    """
    with _one_sentence_errors():
        api = HfApi()
        api.create_repo(repo, private=private, exist_ok=True, repo_type=kind)
        if private and not api.repo_info(repo, repo_type=kind).private:
            raise ValueError(f"--private needs a private repository, and {repo} is public: change it on the Hub first")
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        own = {path.relative_to(folder).as_posix(): path for path in files}
        others = [
            name for name in api.list_repo_files(repo, repo_type=kind) if name not in own and name != ".gitattributes"
        ]
        removed = [name for name in others if any(_matches(name, pattern) for pattern in replaced)]
        operations = [CommitOperationAdd(name, path) for name, path in own.items()]
        # Not `upload_folder`, which may make several commits and has the card checked last.
        commit = api.create_commit(
            repo,
            [*operations, *(CommitOperationDelete(name) for name in removed)],
            commit_message=message,
            repo_type=kind,
        )
    kept = tuple(name for name in others if name not in removed)
    return Uploaded(commit.commit_url, kept, tuple(removed))


def _matches(name: str, pattern: str) -> bool:
    return name.count("/") == pattern.count("/") and fnmatchcase(name, pattern)


@contextmanager
def _one_sentence_errors() -> Iterator[None]:
    """Turn errors of the Hub and of the connection into a ValueError of one sentence."""
    try:
        yield
    except HfHubHTTPError as error:
        raise ValueError(_words(error)) from error
    except HTTPError as error:
        raise ValueError(f"the Hub must be reachable, got: {error}; repeat the command to continue") from error
    except RuntimeError as error:
        # Raised by the library when the upload of a large file fails.
        reason = f"{error} {error.__cause__ or ''}".strip().splitlines()[0]
        raise ValueError(f"{reason}; repeat the command to continue") from error


def _words(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if status == 401:
        return "the Hub does not accept the token: log in again with `hf auth login`, or correct HF_TOKEN"
    said = error.server_message or str(error).splitlines()[0]
    if status == 403:
        return f"the token needs the permission to write: {said}"
    return f"the Hub answered {status}: {said}"
