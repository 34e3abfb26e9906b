"""The native engine: a model in memory, on which Rust code runs."""

import ctypes
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import AutoConfig, PreTrainedConfig, PreTrainedModel

from modeling_nanochat import LoopLMForCausalLM
from modeling_nanochat.configuration_nanochat import PACKED_CODES, is_looplm
from modeling_nanochat.packed_nanochat import pack_codes
from modeling_nanochat.ternary_nanochat import BitLinear, ternary_codes
from runtime.interface import ON_TOKEN, Completions, Depth, Settings, Tensor, Trie, call, functions
from runtime.settings import HEAD_FORMATS, Completion, Constraint, SamplingSettings

DTYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2, torch.uint8: 3}
GO_ON, END, END_ALL = 0, 1, 2


def _check_loops(config: PreTrainedConfig) -> None:
    # The class of a published model may be older than this field.
    if vars(config).get("loop_update") == "scaled":
        raise ValueError(
            'the native engine needs loop_update="norm", which has no prelude and no coda, got "scaled": use the '
            "engine torch"
        )


class Engine:
    """
    A LoopLM in memory, which computes on the CPU in single precision with the model's ternary weights.

    Create it with [`Engine.from_model`] or [`Engine.from_pretrained`]. It keeps its own copy of the weights. Calls of
    one engine from several threads are allowed; each computes on its own thread then.

    Args:
        handle: Pointer to the engine of the library, which this object frees.
        vocab_size: Number of logits.
    """

    def __init__(self, handle: ctypes.c_void_p, vocab_size: int):
        self._handle = handle
        self.vocab_size = vocab_size

    @classmethod
    @torch.no_grad()
    def from_model(cls, model: PreTrainedModel, threads: int | None = None, head: str = "stored") -> "Engine":
        """
        Copy the current weights of a model. Ternary layers are quantized by the model's own code, so that the weights
        are exactly equal.

        Args:
            model: A LoopLM, with latent or packed weights, on any device.
            threads: Number of threads; None for one per core.
            head: Number format of the language modeling head, one of `HEAD_FORMATS`.

        Raises:
            ValueError: The model is no LoopLM, has adapters that are not merged, or is not in memory; there is no
                Rust compiler.
        """
        if not is_looplm(model.config):
            raise ValueError(f"the native engine needs a LoopLM, got a model of type {model.config.model_type}")
        _check_loops(model.config)
        if vars(model).get("peft_config"):
            raise ValueError("the native engine needs a model without adapters: merge them first (merge_and_unload)")
        tensors = _weights(model)
        structures = (Tensor * len(tensors))()
        shapes = []  # kept alive during the call
        for structure, (name, tensor) in zip(structures, tensors.items(), strict=True):
            shapes.append((ctypes.c_size_t * tensor.ndim)(*tensor.shape))
            structure.name, structure.dtype, structure.ndim = name.encode(), DTYPES[tensor.dtype], tensor.ndim
            structure.shape, structure.data, structure.bytes = shapes[-1], tensor.data_ptr(), tensor.nbytes
        config, handle = model.config.to_json_string(use_diff=False).encode(), ctypes.c_void_p()
        arguments = (_head(head), _threads(threads), ctypes.byref(handle))
        call("nanochat_build", config, len(config), structures, len(tensors), *arguments)
        return cls(handle, model.config.vocab_size)

    @classmethod
    def from_pretrained(cls, folder: str | Path, threads: int | None = None, head: str = "stored") -> "Engine":
        """
        Load the model of a folder. A packed model is read by the engine itself, a latent one by transformers.

        Args:
            folder: Folder with `config.json` and `*.safetensors`.
            threads, head: See [`Engine.from_model`].

        Raises:
            ValueError: The folder is no LoopLM, or a file is cut or wrong; there is no Rust compiler.
        """
        config = AutoConfig.from_pretrained(folder)
        if is_looplm(config) and config.weight_format == "latent":
            return cls.from_model(LoopLMForCausalLM.from_pretrained(folder), threads, head)
        if is_looplm(config):
            _check_loops(config)
        handle = ctypes.c_void_p()
        call("nanochat_open", os.fsencode(folder), _head(head), _threads(threads), ctypes.byref(handle))
        return cls(handle, config.vocab_size)

    def __del__(self):
        # The handle is missing if the constructor was not reached.
        if "_handle" in vars(self):
            functions().nanochat_free(self._handle)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the weights in memory, without norms and other small tensors."""
        return functions().nanochat_bytes(self._handle)

    def logits(
        self,
        token_ids: Sequence[int] | torch.Tensor,
        prompt_length: int | None = None,
        num_loops: int | None = None,
        exit_threshold: float | None = None,
        exit_at_loop: int | None = None,
        only_last: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """
        Compute the logits of a text.

        Args:
            token_ids: The text.
            prompt_length: Number of tokens that are computed together and run all loops; each of the others is
                computed as in generation. None for all.
            num_loops, exit_threshold, exit_at_loop: Depth; None uses the model's configuration.
            only_last: Return the last token only, and save the time and the memory of the other logits.

        Returns:
            Logits of shape `(tokens, vocab)` in fp32, and the loops of each token, of shape `(tokens,)`; with
            `only_last` of shapes `(1, vocab)` and `(1,)`.

        Raises:
            ValueError: A token is not in the vocabulary, or an argument is out of range.
        """
        tokens = _tokens(token_ids)
        rows = 1 if only_last else len(tokens)
        logits, loops_used = torch.empty(rows, self.vocab_size), torch.empty(rows, dtype=torch.int32)
        depth = Depth.of(num_loops, exit_threshold, exit_at_loop)
        length = len(tokens) if prompt_length is None else prompt_length
        given = (tokens.data_ptr(), len(tokens), length, only_last, depth)
        call("nanochat_logits", self._handle, *given, logits.data_ptr(), loops_used.data_ptr())
        return logits, loops_used

    def generate(
        self,
        prompts: Sequence[Sequence[int] | torch.Tensor],
        settings: SamplingSettings,
        on_token: Callable[[int, int], bool] | None = None,
        constraints: Sequence[Constraint | None] | None = None,
    ) -> list[Completion]:
        """
        Complete prompts, all in one call of the library.

        Args:
            prompts: Token ids of each prompt.
            settings: How to generate.
            on_token: Called with the index of a completion and its new token as soon as it is chosen. If it returns
                True, this completion ends. Samples of a prompt have adjacent indices.
            constraints: For each prompt the tokens with which its completions may begin, or None for any. They do not
                change `Completion.log_probabilities`, which are those of the distribution over all tokens.

        Returns:
            `settings.num_return_sequences` completions for each prompt, in their order.

        Raises:
            ValueError: A prompt is empty, or a value is out of range, also one of a constraint.
        """
        if constraints is not None and len(constraints) != len(prompts):
            raise ValueError(f"constraints must be one for each of {len(prompts)} prompts, got {len(constraints)}")
        prompts = [_tokens(prompt) for prompt in prompts]
        lengths = torch.tensor([len(prompt) for prompt in prompts], dtype=torch.int64)
        joined = torch.cat(prompts) if prompts else torch.empty(0, dtype=torch.int32)
        shape = (len(prompts) * settings.num_return_sequences, settings.max_new_tokens)
        tokens, loops_used = torch.empty(shape, dtype=torch.int32), torch.empty(shape, dtype=torch.int32)
        log_probabilities = torch.empty(shape)
        counts = torch.zeros(shape[0], dtype=torch.int64)
        failures: list[BaseException] = []

        def ask(completion: int, token: int) -> int:
            # Also without `on_token`, so that a signal such as Ctrl-C is handled between tokens.
            try:
                return END if on_token is not None and on_token(completion, token) else GO_ON
            except BaseException as error:  # noqa: BLE001  # raised again below: Rust cannot pass it on
                failures.append(error)
                return END_ALL

        results = Completions(*(each.data_ptr() for each in (tokens, log_probabilities, loops_used, counts)))
        arrays = [None if each is None else _arrays(each) for each in constraints or ()]  # kept during the call
        tries = (Trie * len(arrays))(*map(_trie, arrays)) if arrays else None
        given = (joined.data_ptr(), lengths.data_ptr(), len(prompts), tries, ctypes.byref(Settings.of(settings)))
        call("nanochat_generate", self._handle, *given, ON_TOKEN(ask), ctypes.byref(results))
        if failures:
            raise failures[0]
        rows = zip(counts.tolist(), tokens, log_probabilities, loops_used, strict=True)
        return [Completion(*(each[:count].tolist() for each in row)) for count, *row in rows]


def _weights(model: PreTrainedModel) -> dict[str, torch.Tensor]:
    """Return the tensors of a model by name, on the CPU, with packed codes instead of latent ternary weights."""
    tensors = dict(model.state_dict())
    for name, module in model.named_modules():
        # By name, because `trust_remote_code` loads another class. Widths that cannot be packed are quantized by the
        # library.
        if type(module).__name__ == BitLinear.__name__ and module.in_features % PACKED_CODES == 0:
            codes, scales = ternary_codes(tensors.pop(f"{name}.weight"), module.group_size)
            tensors[f"{name}.weight_codes"], tensors[f"{name}.weight_scales"] = pack_codes(codes), scales
    for name, tensor in tensors.items():
        if tensor.is_meta:
            raise ValueError(f"weights must be in memory, got {name}, which is offloaded or on the meta device")
        if tensor.dtype not in DTYPES:
            raise ValueError(f"weights must be fp32, fp16, bf16 or uint8, got {name} in {tensor.dtype}")
        tensors[name] = tensor.detach().cpu().contiguous()
    return tensors


def _arrays(constraint: Constraint) -> tuple[torch.Tensor, ...]:
    """Return starts, tokens, additions and following nodes as the library reads them."""
    starts, following = (torch.tensor(each, dtype=torch.int64) for each in (constraint.starts, constraint.following))
    return starts, _tokens(constraint.tokens), torch.tensor(constraint.additions, dtype=torch.float32), following


def _trie(arrays: tuple[torch.Tensor, ...] | None) -> Trie:
    if arrays is None:
        return Trie()
    starts, tokens, additions, following = arrays
    entries = (tokens.data_ptr(), additions.data_ptr(), following.data_ptr(), len(tokens))
    return Trie(starts.data_ptr(), len(starts) - 1, *entries)


def _tokens(token_ids: Sequence[int] | torch.Tensor) -> torch.Tensor:
    tokens = torch.as_tensor(token_ids, device="cpu")
    if tokens.ndim != 1 or (tokens.is_floating_point() and len(tokens) > 0):
        raise ValueError(f"a text must be a list of token ids, got shape {tuple(tokens.shape)} of {tokens.dtype}")
    # Ids that int32 does not have would become others; the library refuses those at its ends.
    return tokens.long().clamp(-1, 2**31 - 1).to(torch.int32).contiguous()


def _threads(threads: int | None) -> int:
    count = len(os.sched_getaffinity(0)) if threads is None else threads
    if count < 1:
        raise ValueError(f"threads must be an integer >= 1, got {count}")
    return count


def _head(head: str) -> int:
    if head not in HEAD_FORMATS:
        raise ValueError(f"head must be one of {', '.join(HEAD_FORMATS)}, got {head!r}")
    return HEAD_FORMATS.index(head)
