"""Upload of a staged folder to the Hub: one commit, to which the Hub agrees before the large files are sent."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from httpx2 import HTTPError
from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError

WEIGHTS = "*.safetensors", "*.safetensors.index.json"


@dataclass(frozen=True)
class Uploaded:
    """
    Attributes:
        url: Of the commit.
        kept: Files of the repository that the folder does not have; they were left there.
        removed: Weights of an earlier model, which would be mixed with the new ones.
    """

    url: str
    kept: tuple[str, ...]
    removed: tuple[str, ...]


def log_in() -> str:
    """
    The name of the user whose token is used.

    Raises:
        ValueError: There is no token, or the Hub does not accept it.
    """
    if get_token() is None:
        raise ValueError(
            "--push needs a token that may write to the Hub: log in with `hf auth login`, or set HF_TOKEN"
        )
    with _in_a_sentence():
        return HfApi().whoami()["name"]


def upload(folder: Path, repo: str, private: bool, message: str) -> Uploaded:
    """
    Create a repository unless it exists, and add a commit with the files of a folder. An upload that was interrupted
    leaves the repository as it was; started again, it sends what is missing.

    Raises:
        ValueError: The Hub refuses, or cannot be reached.
    """
    with _in_a_sentence():
        api = HfApi()
        api.create_repo(repo, private=private, exist_ok=True)
        if private and not api.model_info(repo).private:
            raise ValueError(f"--private needs a private repository, and {repo} is public: change it on the Hub first")
        own = {path.name: path for path in sorted(folder.iterdir())}
        others = [name for name in api.list_repo_files(repo) if name not in own and name != ".gitattributes"]
        removed = [name for name in others if any(Path(name).match(each) for each in WEIGHTS) and "/" not in name]
        operations = [CommitOperationAdd(name, path) for name, path in own.items()]
        # `upload_folder` may split a folder into several commits, and has its card checked last.
        commit = api.create_commit(
            repo,
            [*operations, *(CommitOperationDelete(name) for name in removed)],
            commit_message=message,
        )
    kept = tuple(name for name in others if name not in removed)
    return Uploaded(commit.commit_url, kept, tuple(removed))


@contextmanager
def _in_a_sentence() -> Iterator[None]:
    """What the Hub answers, or that it does not, as a ValueError."""
    try:
        yield
    except HfHubHTTPError as error:
        raise ValueError(_words(error)) from error
    except HTTPError as error:
        raise ValueError(f"the Hub must be reachable, got: {error}; start again to continue") from error
    except RuntimeError as error:
        # So the library says what went wrong with a large file.
        reason = f"{error} {error.__cause__ or ''}".strip().splitlines()[0]
        raise ValueError(f"{reason}; start again to continue") from error


def _words(error: HfHubHTTPError) -> str:
    status = error.response.status_code
    if status == 401:
        return "the Hub does not accept the token: log in anew with `hf auth login`, or correct HF_TOKEN"
    said = error.server_message or str(error).splitlines()[0]
    if status == 403:
        return f"the token may not do this, it needs the permission to write: {said}"
    return f"the Hub answered {status}: {said}"
