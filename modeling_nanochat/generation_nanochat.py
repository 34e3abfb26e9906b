"""Generation with a looped model: its depth, checks of early exit and key-value reuse, and the loops of each token."""

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import torch
from transformers.generation import GenerationConfig, GenerationMixin, StoppingCriteriaList
from transformers.generation.configuration_utils import GenerationMode
from transformers.utils import ModelOutput

from .configuration_nanochat import LoopLMConfig
from .exit_nanochat import depth_to_run

ENGINES = ("torch", "native")
EXIT_FORMS = ("exit_threshold", "exit_at_loop")
DEPTHS = ("num_loops", *EXIT_FORMS)
DEPTH_ARGUMENTS = (*DEPTHS, "prompt_length", "finished")
FILE_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    class _GenerationBase(PreTrainedModel, GenerationMixin):
        # As transformers' protocol of a model that generates has them.
        config: LoopLMConfig
        encoder: Any
        hf_device_map: dict[str, Any]
        hf_quantizer: Any
        _previous_max_cache_length: int
        device: torch.device
        dtype: torch.dtype

        def set_input_embeddings(self, value: Any) -> None: ...

        def set_output_embeddings(self, value: Any) -> None: ...  # ty: ignore[lost-keyword-for-regular-parameter]

        def _supports_logits_to_keep(self) -> bool: ...
else:
    _GenerationBase = GenerationMixin


def _configured_depth(generation_config: GenerationConfig | None) -> dict:
    """Return the depth in a generation configuration, whose class has no fields for it."""
    values = {} if generation_config is None else vars(generation_config)
    return {name: values[name] for name in DEPTHS if values.get(name) is not None}


class _Record:
    """
    Record of the forward passes of one call of `generate`.

    Attributes:
        mode: Mode of generation.
        passes: For each pass, the loops of the positions that gave the new tokens, of shape `(rows, new tokens)`; 0
            for rows that had ended.
        finished: Rows that have ended, of shape `(rows,)`; None before the first token and in beam search.
    """

    def __init__(self):
        self.mode: GenerationMode | None = None
        self.passes: list[torch.Tensor] = []
        self.finished: torch.Tensor | None = None

    def add(self, outputs: ModelOutput, num_new_tokens: int) -> None:
        """Add the loops of a forward pass."""
        loops_used = outputs["loops_used"]
        if self.mode == GenerationMode.ASSISTED_GENERATION:
            # The pass ends with the candidates, of which the first ones were accepted.
            loops = loops_used[:, -outputs["logits"].shape[1] :][:, :num_new_tokens]
        else:
            loops = loops_used[:, -1:]
        self.passes.append(loops if self.finished is None else loops * ~self.finished[:, None])

    def end_rows(self, done: torch.Tensor) -> None:
        """Mark rows that end with the last token, of shape `(rows,)`."""
        if self.mode in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE):
            self.finished = done if self.finished is None else self.finished | done

    def write(self, output: ModelOutput) -> None:
        """Add `loops_used` and `mean_loops` to the output of `generate`, unless a custom decoding loop was used."""
        if not self.passes:
            return
        loops = torch.cat(self.passes, dim=1)
        if "beam_indices" in output:
            # The running beam that each token comes from; -1 after the end of a sequence.
            beams = output["beam_indices"].long()
            loops = loops[:, : beams.shape[1]].gather(0, beams.clamp(min=0)) * (beams >= 0)
        loops = loops[:, : int((loops > 0).any(dim=0).sum())]
        output["loops_used"] = loops
        output["mean_loops"] = loops.sum(dim=1) / (loops > 0).sum(dim=1)


_record: ContextVar[_Record | None] = ContextVar("looplm_generation", default=None)


def _current_record() -> _Record:
    record = _record.get()
    assert record is not None, "called within generate"
    return record


@contextmanager
def _recording() -> Generator[_Record]:
    """Provide a separate record for each call, including those of an assistant model and of other threads."""
    record = _Record()
    token = _record.set(record)
    try:
        yield record
    finally:
        _record.reset(token)


class _RecordedCriteria(StoppingCriteriaList):
    """Stopping criteria that record which rows end."""

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs) -> torch.BoolTensor:
        done = super().__call__(input_ids, scores, **kwargs)
        _current_record().end_rows(done)
        return done


def _generate_natively() -> Callable:
    """Return the native engine's `generate`. Raises `ValueError` if the project is not installed."""
    try:
        # This file is copied to the Hub without the project. Imports in a `try` are not required of those who load it.
        from runtime.generation import generate
    except ModuleNotFoundError as error:
        if error.name not in ("runtime", "runtime.generation"):
            raise
        raise ValueError(
            'engine="native" needs the project nanochat-ternary, which is not installed: run `pip install -e .` in '
            "its folder, or `pip install ./training_code` in the repository of a published model; or use the engine "
            "torch"
        ) from error
    return generate


class LoopLMGenerationMixin(_GenerationBase):
    """Mixin that adds the depth of a looped model to the generation methods of transformers."""

    def cached_weights(self) -> AbstractContextManager[None]:
        """See [`LoopLMModel.cached_weights`]."""
        raise NotImplementedError

    def generate(self, *args, engine: str = "torch", **kwargs):
        """
        Generate tokens as [`~transformers.GenerationMixin.generate`], quantizing the weights once per call.

        The depth arguments `num_loops`, `exit_threshold` and `exit_at_loop` are those of [`LoopLMModel.forward`]. They
        can be given as keyword arguments or in the generation configuration.

        Args:
            args, kwargs: Arguments of transformers, and the depth.
            engine: "torch"; or "native", which computes on the CPU in Rust and needs the project nanochat-ternary and
                rustc. It has greedy decoding, sampling and streaming of one row, and refuses other arguments.

        Returns:
            The output of transformers. With `return_dict_in_generate=True` it also has `loops_used`, of shape
            `(rows, new tokens)`, the number of loops that each new token took (0 after the end of a row), and
            `mean_loops`, of shape `(rows,)`. The first token comes from the pass of the prompt, which runs all loops.

        Raises:
            ValueError: Early exit is used without a cache or with a compiled one; `kv_reuse="last"` is used with
                assisted decoding or a chunked prefill; an argument is out of range; or the engine is not known, not
                installed, or does not have what an argument asks for.
        """
        if engine not in ENGINES:
            raise ValueError(f"engine must be one of {', '.join(ENGINES)}, got {engine!r}")
        if engine == "native":
            return _generate_natively()(self, *args, **kwargs)
        with self.cached_weights(), _recording() as record:
            output = super().generate(*args, **kwargs)
        if isinstance(output, ModelOutput):
            record.write(output)
        return output

    def generate_batch(self, *args, **kwargs):
        """Generate tokens for a batch with continuous batching, quantizing the weights once per call."""
        with self.cached_weights():
            return super().generate_batch(*args, **kwargs)

    def init_continuous_batching(self, generation_config: GenerationConfig | None = None, *args, **kwargs):
        """
        Create a manager of continuous batching, which runs at the depth of the model's configuration.

        Raises:
            ValueError: The configuration has an `exit_threshold` below 1 or `kv_reuse="last"`, or the generation
                configuration has a depth.
        """
        asked = _configured_depth(self.generation_config if generation_config is None else generation_config)
        if asked:
            raise ValueError(
                "continuous batching runs at the depth of the model's configuration: set it there and not in the "
                f"generation configuration, got {asked}"
            )
        _, threshold = depth_to_run(self.config)
        if threshold < 1 or self.config.kv_reuse == "last":
            asked = f"exit_threshold={threshold}" if threshold < 1 else 'kv_reuse="last"'
            raise ValueError(
                f"continuous batching cannot be used with {asked}: its paged cache has one block table for all "
                "(loop, layer) slots and its batches have a fixed depth. Use generate, or set exit_threshold=1 and "
                'kv_reuse="none" in the configuration.'
            )
        return super().init_continuous_batching(generation_config, *args, **kwargs)

    # The other arguments are passed on.
    def adjust_generation_fn(  # ty: ignore[incompatible-method-override]
        self, generation_config, from_auto_class, from_pipeline, pretrained_model_name_or_path, **kwargs
    ) -> None:
        """Read the generation configuration; `from_pretrained` calls this."""
        super().adjust_generation_fn(
            generation_config, from_auto_class, from_pipeline, pretrained_model_name_or_path, **kwargs
        )
        if generation_config is not None or not self.generation_config._from_model_config:
            return
        # From a file that was created from a model's configuration, transformers reads only the fields it knows.
        settings = {name: kwargs[name] for name in FILE_ARGUMENTS if name in kwargs}
        try:
            written = GenerationConfig.from_pretrained(
                pretrained_model_name_or_path, _from_model_config=False, **settings
            )
        except OSError:
            return  # there is no file
        for name, value in _configured_depth(written).items():
            setattr(self.generation_config, name, value)

    def _prepare_generation_config(self, generation_config: GenerationConfig | None, **kwargs):
        depth: dict = {}
        asked = {name: kwargs[name] for name in DEPTHS if kwargs.get(name) is not None}
        for source in (_configured_depth(self.generation_config), _configured_depth(generation_config), asked):
            if any(name in source for name in EXIT_FORMS):
                depth = {name: value for name, value in depth.items() if name not in EXIT_FORMS}
            depth |= source
        generation_config, model_kwargs = super()._prepare_generation_config(generation_config, **kwargs)
        # This copy is passed on to an assistant model, which has its own depth.
        for name in DEPTHS:
            vars(generation_config).pop(name, None)
        return generation_config, model_kwargs | depth

    def _prepare_cache_for_generation(
        self, generation_config: GenerationConfig, model_kwargs: dict, generation_mode: GenerationMode, *args, **kwargs
    ):
        _, threshold = depth_to_run(self.config, *(model_kwargs.get(name) for name in DEPTH_ARGUMENTS[:3]))
        leaves_early = threshold < 1 and not self.training
        if leaves_early and generation_config.use_cache is False:
            raise ValueError(
                "exit_threshold below 1 needs a cache: tokens of the prompt run all loops, and without a cache every "
                f"token belongs to the prompt, got exit_threshold={threshold} with use_cache=False"
            )
        if self.config.kv_reuse == "last":
            self._check_kv_reuse(generation_config, generation_mode)
        result = super()._prepare_cache_for_generation(
            generation_config, model_kwargs, generation_mode, *args, **kwargs
        )
        if leaves_early and self._valid_auto_compile_criteria(model_kwargs, generation_config):
            raise ValueError(
                "exit_threshold below 1 cannot be used with a compiled static cache: the number of loops is known "
                f"only after they were run, got {threshold}. Use a dynamic cache, disable_compile=True, or "
                "exit_at_loop for a fixed depth."
            )
        if leaves_early:
            model_kwargs["prompt_length"] = model_kwargs["position_ids"].shape[-1]
        _current_record().mode = generation_mode
        return result

    def _check_kv_reuse(self, generation_config: GenerationConfig, generation_mode: GenerationMode) -> None:
        if generation_mode == GenerationMode.ASSISTED_GENERATION:
            raise ValueError(
                'kv_reuse="last" cannot be used with assisted decoding or prompt lookup: candidates in the same pass '
                "would attend to each other's keys and values of the same loop instead of the last one. "
                'Decode without candidates, or set kv_reuse="none" in the configuration.'
            )
        if generation_config.prefill_chunk_size is not None:
            raise ValueError(
                'kv_reuse="last" cannot be used with prefill_chunk_size: the prompt must be processed in one pass, '
                "because only the keys and values of the last loop are kept after it. Leave prefill_chunk_size out, "
                'or set kv_reuse="none" in the configuration.'
            )

    def _get_stopping_criteria(self, *args, **kwargs) -> StoppingCriteriaList:
        return _RecordedCriteria(super()._get_stopping_criteria(*args, **kwargs))

    # transformers gives all arguments by name.
    def _get_candidate_generator(  # ty: ignore[incompatible-method-override]
        self, *args, model_kwargs: dict, **kwargs
    ):
        # An assistant model has its own depth, if any.
        others = {name: value for name, value in model_kwargs.items() if name not in DEPTH_ARGUMENTS}
        return super()._get_candidate_generator(*args, model_kwargs=others, **kwargs)

    def _update_model_kwargs_for_generation(
        self, outputs: ModelOutput, model_kwargs: dict, is_encoder_decoder: bool = False, num_new_tokens: int = 1
    ) -> dict:
        record = _record.get()
        if record is not None:  # a custom decoding loop has none
            record.add(outputs, num_new_tokens)
            if "prompt_length" in model_kwargs:
                model_kwargs["finished"] = record.finished
        return super()._update_model_kwargs_for_generation(outputs, model_kwargs, is_encoder_decoder, num_new_tokens)
