"""The C functions of the compiled library, see `src/capi.rs`; without PyTorch."""

import ctypes
from functools import cache
from math import nan

from runtime.build import library
from runtime.settings import SamplingSettings

MESSAGE_BYTES = 1024
ON_TOKEN = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_size_t, ctypes.c_uint32)


class Tensor(ctypes.Structure):
    """A named tensor in memory."""

    _fields_ = [
        ("name", ctypes.c_char_p),
        ("dtype", ctypes.c_int),
        ("ndim", ctypes.c_int),
        ("shape", ctypes.POINTER(ctypes.c_size_t)),
        ("data", ctypes.c_void_p),
        ("bytes", ctypes.c_size_t),
    ]


class Depth(ctypes.Structure):
    """Depth of a call; 0 and NaN take the value of the configuration."""

    _fields_ = [
        ("num_loops", ctypes.c_size_t),
        ("exit_at_loop", ctypes.c_size_t),
        ("exit_threshold", ctypes.c_float),
    ]

    @classmethod
    def of(cls, num_loops: int | None, exit_threshold: float | None, exit_at_loop: int | None) -> "Depth":
        """Create the structure from values that may be None."""
        for name, value in (("num_loops", num_loops), ("exit_at_loop", exit_at_loop)):
            if value is not None and value < 1:
                raise ValueError(f"{name} must be an integer >= 1, got {value}")
        return cls(num_loops or 0, exit_at_loop or 0, nan if exit_threshold is None else exit_threshold)


class Settings(ctypes.Structure):
    """Settings of a generation."""

    _fields_ = [
        ("depth", Depth),
        ("temperature", ctypes.c_float),
        ("top_p", ctypes.c_float),
        ("repetition_penalty", ctypes.c_float),
        ("top_k", ctypes.c_size_t),
        ("seed", ctypes.c_uint64),
        ("max_new_tokens", ctypes.c_size_t),
        ("num_return_sequences", ctypes.c_size_t),
        ("batch_size", ctypes.c_size_t),
        ("end_tokens", ctypes.POINTER(ctypes.c_uint32)),
        ("num_end_tokens", ctypes.c_size_t),
    ]

    @classmethod
    def of(cls, settings: SamplingSettings) -> "Settings":
        """Create the structure."""
        ends = settings.eos_token_id
        return cls(
            Depth.of(settings.num_loops, settings.exit_threshold, settings.exit_at_loop),
            settings.temperature,
            settings.top_p,
            settings.repetition_penalty,
            settings.top_k,
            settings.seed % 2**64,
            settings.max_new_tokens,
            settings.num_return_sequences,
            settings.batch_size,
            (ctypes.c_uint32 * max(1, len(ends)))(*ends),
            len(ends),
        )


class Trie(ctypes.Structure):
    """The constraint of a prompt; all zeros for none."""

    _fields_ = [
        ("starts", ctypes.c_void_p),
        ("num_nodes", ctypes.c_size_t),
        ("tokens", ctypes.c_void_p),
        ("additions", ctypes.c_void_p),
        ("following", ctypes.c_void_p),
        ("num_entries", ctypes.c_size_t),
    ]


class Completions(ctypes.Structure):
    """Where the completions are written."""

    _fields_ = [
        ("tokens", ctypes.c_void_p),
        ("log_probabilities", ctypes.c_void_p),
        ("loops_used", ctypes.c_void_p),
        ("lengths", ctypes.c_void_p),
    ]


@cache
def functions() -> ctypes.CDLL:
    """Load the library, which is compiled at first use. Raises `ValueError` if there is no compiler."""
    loaded = ctypes.CDLL(str(library()))
    engine, message = ctypes.c_void_p, ctypes.c_char_p
    size, pointer = ctypes.c_size_t, ctypes.c_void_p
    loaded.nanochat_open.argtypes = [ctypes.c_char_p, ctypes.c_int, size, ctypes.POINTER(engine), message]
    loaded.nanochat_build.argtypes = [
        *(ctypes.c_char_p, size, ctypes.POINTER(Tensor), size),
        *(ctypes.c_int, size, ctypes.POINTER(engine), message),
    ]
    loaded.nanochat_free.argtypes, loaded.nanochat_free.restype = [engine], None
    loaded.nanochat_bytes.argtypes, loaded.nanochat_bytes.restype = [engine], size
    loaded.nanochat_logits.argtypes = [
        *(engine, pointer, size, size, ctypes.c_bool),
        *(Depth, pointer, pointer, message),
    ]
    loaded.nanochat_generate.argtypes = [
        *(engine, pointer, pointer, size, ctypes.POINTER(Trie), ctypes.POINTER(Settings)),
        *(ON_TOKEN, ctypes.POINTER(Completions), message),
    ]
    return loaded


def call(name: str, *arguments) -> None:
    """Call a function that may fail. Raises `ValueError` with its message."""
    message = ctypes.create_string_buffer(MESSAGE_BYTES)
    if getattr(functions(), name)(*arguments, message) != 0:
        raise ValueError(message.value.decode("utf-8", "replace"))
