"""Loading of a model with its tokenizer, with one clear sentence for whatever is wrong with the files or an option."""

import json
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

import modeling_nanochat  # noqa: F401 - makes the LoopLM known to the Auto classes
from evaluation.device import inference_device
from evaluation.text_files import read_text

SETTINGS = (
    "config.json",
    "generation_config.json",
    "model.safetensors.index.json",
    "tokenizer.json",
    "tokenizer_config.json",
)
DTYPES = ("auto", "float32", "bfloat16", "float16", "float64")


def load_model(
    name: str, trust_remote_code: bool = False, dtype: str = "auto", device: str | None = None
) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """
    Load a causal language model and its tokenizer from a folder or the Hub.

    Args:
        name: The folder, or the name on the Hub.
        trust_remote_code: Run the code that comes with the model.
        dtype: Type of the weights; "auto" is the saved one.
        device: Such as "cuda" or "cpu"; None for a GPU if there is one.

    Returns:
        The model, in evaluation mode on the device, and the tokenizer, with a padding token.

    Raises:
        ValueError: The model or the device does not exist, the model is not a causal language model, its files are
            damaged or incomplete, or the tokenizer is missing or another model's.
    """
    place = device_of(device)
    check_dtype(dtype)
    _check_place(name)
    with _only_errors():
        model = _model(name, trust_remote_code, dtype)
        tokenizer = _tokenizer(name, trust_remote_code)
    vocab_size = model.get_input_embeddings().num_embeddings
    if len(tokenizer) > vocab_size:
        raise ValueError(
            f"model {name!r} must have an embedding for every token of its tokenizer, got {vocab_size} for "
            f"{len(tokenizer)}"
        )
    return model.to(place).eval(), tokenizer


def load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    """
    Load the tokenizer of a model in a folder or on the Hub.

    Raises:
        ValueError: The model does not exist, or its tokenizer is missing, damaged or without an end token.
    """
    _check_place(name)
    with _only_errors():
        return _tokenizer(name, False)


def load_config(name: str) -> PreTrainedConfig:
    """
    Load the configuration of a model in a folder or on the Hub.

    Raises:
        ValueError: The model does not exist, or its configuration is damaged or of a kind that transformers lacks.
    """
    _check_place(name)
    try:
        with _only_errors():
            return AutoConfig.from_pretrained(name)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"model {name!r} has a configuration that cannot be loaded: {_first_line(error)}") from error


def load_gguf(path: Path) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """
    Load a GGUF file into memory, its weights dequantized to fp32, with the tokenizer in it.

    Raises:
        ValueError: Transformers does not know the architecture, or the file is damaged.
    """
    with _only_errors():
        model = _model(str(path.parent), False, "float32", gguf_file=path.name)
        tokenizer = _tokenizer(str(path.parent), False, gguf_file=path.name)
    return model.to(device_of(None)).eval(), tokenizer


def device_of(name: str | None) -> torch.device:
    """Return the device of this name; for None a GPU if there is one. Raises `ValueError` if PyTorch cannot use it."""
    if name is None:
        return inference_device()
    try:
        torch.zeros(1, device=name).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        usable = "cpu, cuda" if torch.cuda.is_available() else "cpu"
        raise ValueError(
            f"device must be one that PyTorch {torch.__version__} can use on this machine ({usable}), got {name!r}"
        ) from error
    return torch.device(name)


def check_dtype(name: str) -> None:
    """Raise `ValueError` unless `name` is a type of weights or "auto"."""
    if name not in DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(DTYPES)}, got {name!r}")


def _check_place(name: str) -> None:
    """Raise `ValueError` where a name that looks like a folder is none of a saved model, or its JSON is damaged."""
    folder = Path(name)
    # A Hub name is OWNER/NAME; a path with one slash begins with a folder that exists.
    is_name = name.count("/") == 1 and not name.startswith((".", "~")) and not Path(folder.parts[0]).exists()
    if not is_name and not (folder / "config.json").is_file():
        raise ValueError(f"model must be the folder of a saved model or a Hub name, got {name!r}")
    _check_settings(folder)


def _check_settings(folder: Path) -> None:
    """Raise `ValueError` for a damaged JSON file; transformers would ignore some of them silently."""
    for name in SETTINGS:
        if (folder / name).is_file():
            try:
                json.loads(read_text(folder / name))
            except json.JSONDecodeError as error:
                raise ValueError(f"{folder / name} is damaged (half-copied?): {error}") from error


def _model(name: str, trust_remote_code: bool, dtype: str, **file: str) -> PreTrainedModel:
    # Weights that are missing or have another shape are initialized at random; they are reported below.
    settings = {"output_loading_info": True, "ignore_mismatched_sizes": True}
    settings |= {"trust_remote_code": trust_remote_code, "dtype": dtype} | file
    try:
        model, found = AutoModelForCausalLM.from_pretrained(name, **settings)
    except SafetensorError as error:
        raise ValueError(
            f"model {name!r} has a damaged file of weights, {_damaged_file(Path(name))} (half-copied?): "
            f"{_first_line(error)}"
        ) from error
    except (OSError, ValueError, KeyError, RuntimeError, pickle.UnpicklingError) as error:
        raise ValueError(
            f"model {name!r} cannot be loaded as a causal language model: {_first_line(error)}"
        ) from error
    wrong = sorted({*found["missing_keys"], *(key for key, *_ in found["mismatched_keys"])})
    if wrong:
        raise ValueError(
            f"model {name!r} must have the weights that its config.json describes, {len(wrong)} are missing or of "
            f"another shape, such as {wrong[0]}"
        )
    return model


def _tokenizer(name: str, trust_remote_code: bool, **file: str) -> PreTrainedTokenizerBase:
    missing = f"model {name!r} has no tokenizer, which tokenizer.save_pretrained writes into the model's folder"
    folder = Path(name)
    if (
        folder.is_dir()
        and not file
        and not any(path.name.startswith(("tokenizer", "vocab")) for path in folder.iterdir())
    ):
        raise ValueError(missing)
    try:
        tokenizer = AutoTokenizer.from_pretrained(name, trust_remote_code=trust_remote_code, **file)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(f"model {name!r} has a tokenizer that cannot be loaded: {_first_line(error)}") from error
    # For some model types transformers makes a tokenizer without a vocabulary.
    if not tokenizer("fn", add_special_tokens=False)["input_ids"]:
        raise ValueError(missing)
    if tokenizer.eos_token_id is None:
        raise ValueError(f"model {name!r} must have a tokenizer with an end token, got eos_token=None")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


@contextmanager
def _only_errors() -> Iterator[None]:
    """Silence warnings of transformers about problems that raise an error here."""
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)


def _damaged_file(folder: Path) -> str:
    for path in sorted(folder.glob("*.safetensors")):
        try:
            safe_open(path, "pt")
        except SafetensorError:
            return path.name
    return "whose name is not known"


def _first_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].rstrip(".: ")
