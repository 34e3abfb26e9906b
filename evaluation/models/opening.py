"""Opening of a model by its name: a folder, a name on the Hub, a GGUF file, or a server."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from evaluation.generation_settings import GenerationSettings
from evaluation.loading import check_dtype, device_of, load_model
from evaluation.models.served_model import ServedModel

SERVER_PREFIX = "openai:"


@dataclass(frozen=True)
class Loading:
    """
    How a model is loaded into memory.

    Attributes:
        dtype: Type of the weights; "auto" is the saved one.
        device: Such as "cuda" or "cpu"; None for a GPU if there is one.
        trust_remote_code: Run the code that comes with the model.
    """

    dtype: str = "auto"
    device: str | None = None
    trust_remote_code: bool = False

    def check(self, name: str | None) -> None:
        """
        Raise `ValueError` if these settings cannot be used, before any long work.

        Args:
            name: Of the model; None if it is loaded already.
        """
        if name is not None and (is_server(name) or is_gguf(name)):
            for field, value, unset in (("dtype", self.dtype, "auto"), ("device", self.device, None)):
                if value != unset:
                    raise ValueError(
                        f"{field} needs the folder of a saved model or a Hub name, got {value!r} for {name}: leave "
                        "the option out"
                    )
        check_dtype(self.dtype)
        device_of(self.device)


def is_server(name: str) -> bool:
    """Whether a name of a model is that of a server."""
    return name.startswith(SERVER_PREFIX)


def is_gguf(name: str) -> bool:
    """Whether a name of a model is that of a GGUF file."""
    return name.endswith(".gguf") or Path(name).is_file()


@contextmanager
def open_model(
    name: str, loading: Loading, generation: GenerationSettings
) -> Iterator[tuple[PreTrainedModel, PreTrainedTokenizerBase] | tuple[ServedModel, None]]:
    """
    Load a model, or reach a served one while the context lasts; yield it with its tokenizer.

    Args:
        name: Folder, Hub name, GGUF file, or `openai:URL` of a server.
        loading: How to load it into memory.
        generation: How it will generate.

    Raises:
        ValueError: The model does not exist, is damaged, or cannot be reached.
    """
    # Each kind needs packages that the others do not.
    if is_server(name):
        from evaluation.models.openai_server import open_server

        with open_server(name.removeprefix(SERVER_PREFIX)) as served:
            yield served, None
    elif is_gguf(name):
        from evaluation.models.gguf_model import open_gguf_model

        with open_gguf_model(Path(name), generation) as served:
            yield served, None
    else:
        yield load_model(name, loading.trust_remote_code, loading.dtype, loading.device)
