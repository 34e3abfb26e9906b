"""The engine of a model, which is kept until the model is freed or its weights change."""

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch.multiprocessing.reductions import StorageWeakRef
from transformers import PreTrainedModel

from runtime.engine import Engine


@dataclass(frozen=True)
class _Kept:
    state: list[Any]
    engine: Engine


# Beside the models and not in them, so that no state dict, pickle, copy or saved file contains an engine.
_engines: WeakKeyDictionary[PreTrainedModel, _Kept] = WeakKeyDictionary()


def kept_engine(model: PreTrainedModel) -> Engine:
    """
    Return an engine with the current weights of a model.

    The engine of the call before is returned if no parameter or buffer was changed or replaced since. PyTorch counts
    the changes of a tensor, but not those through its attribute `data`, which are not noticed.

    Args:
        model: A LoopLM.

    Raises:
        ValueError: See [`Engine.from_model`].
    """
    state = _state(model)
    # Removed before another one is built, so that there are not two in memory.
    kept = _engines.pop(model, None)
    if kept is None or kept.state != state:
        kept = None
        kept = _Kept(state, Engine.from_model(model, threads=torch.get_num_threads()))
    _engines[model] = kept
    return kept.engine


def _state(model: PreTrainedModel) -> list[Any]:
    """Describe a model's configuration and tensors, so that two descriptions differ if a tensor changed in between."""
    state: list[Any] = [torch.get_num_threads(), model.config.to_json_string(use_diff=False)]
    for tensor in (*model.parameters(), *model.buffers()):
        # An address may be used again after its storage is freed; the identity of a storage that is referenced is not.
        storage = StorageWeakRef(tensor.untyped_storage())
        # Changes of inference tensors are not counted.
        version = object() if tensor.is_inference() else tensor._version
        state.append((storage, tensor.data_ptr(), version, tensor.dtype, tensor.shape))
    return state
