"""`generate` of a looped model: what goes with early exit and with shared key-value slots, and the loops used."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import torch
from transformers.generation import GenerationConfig, GenerationMixin, StoppingCriteriaList
from transformers.generation.configuration_utils import GenerationMode
from transformers.utils import ModelOutput

from .exit_nanochat import depth_to_run

EXIT_FORMS = ("exit_threshold", "exit_at_loop")
DEPTHS = ("num_loops", *EXIT_FORMS)
DEPTH_ARGUMENTS = (*DEPTHS, "prompt_length", "finished")
FILE_ARGUMENTS = ("cache_dir", "force_download", "local_files_only", "token", "revision", "subfolder")


def _configured_depth(generation_config: GenerationConfig | None) -> dict:
    """The depth that a generation configuration asks for; these are no fields of its class."""
    values = {} if generation_config is None else vars(generation_config)
    return {name: values[name] for name in DEPTHS if values.get(name) is not None}


class _Record:
    """What one call of `generate` notes of its passes: the loops of every token, and which rows have ended."""

    def __init__(self):
        self.mode: GenerationMode | None = None
        self.passes: list[torch.LongTensor] = []
        """(rows, new tokens) loops of the positions that gave the new tokens, 0 where the row had ended before."""
        self.finished: torch.BoolTensor | None = None
        """(rows,), those that have ended; None before the first token, and in beam search, which has no such rows."""

    def add(self, outputs: ModelOutput, num_new_tokens: int) -> None:
        loops_used = outputs.loops_used
        if self.mode == GenerationMode.ASSISTED_GENERATION:
            # The pass ends with the candidates, of which the first were accepted.
            loops = loops_used[:, -outputs.logits.shape[1] :][:, :num_new_tokens]
        else:
            loops = loops_used[:, -1:]
        self.passes.append(loops if self.finished is None else loops * ~self.finished[:, None])

    def end_rows(self, done: torch.BoolTensor) -> None:
        if self.mode in (GenerationMode.GREEDY_SEARCH, GenerationMode.SAMPLE):
            self.finished = done if self.finished is None else self.finished | done

    def write(self, output: ModelOutput) -> None:
        """Adds `loops_used` and `mean_loops` to what `generate` returns, unless a loop of the user's own decoded."""
        if not self.passes:
            return
        loops = torch.cat(self.passes, dim=1)
        if "beam_indices" in output:
            # Which running beam each token came from; -1 behind the end of a sequence.
            beams = output.beam_indices.long()
            loops = loops[:, : beams.shape[1]].gather(0, beams.clamp(min=0)) * (beams >= 0)
        loops = loops[:, : int((loops > 0).any(dim=0).sum())]
        output["loops_used"] = loops
        output["mean_loops"] = loops.sum(dim=1) / (loops > 0).sum(dim=1)


_record: ContextVar[_Record | None] = ContextVar("looplm_generation", default=None)


@contextmanager
def _recording() -> Iterator[_Record]:
    """A record of its own for each call, also of an assistant within another model's call and in another thread."""
    record = _Record()
    token = _record.set(record)
    try:
        yield record
    finally:
        _record.reset(token)


class _RecordedCriteria(StoppingCriteriaList):
    """Tells the record which rows end."""

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor, **kwargs) -> torch.BoolTensor:
        done = super().__call__(input_ids, scores, **kwargs)
        _record.get().end_rows(done)
        return done


class LoopLMGenerationMixin(GenerationMixin):
    """Generation of transformers with a depth."""

    def generate(self, *args, **kwargs):
        """
        As in every causal model of transformers; the weights are quantised once per call. `num_loops`,
        `exit_threshold` and `exit_at_loop` are those of [`LoopLMModel.forward`]; a generation configuration may hold
        them too.

        With `return_dict_in_generate=True` the output also has `loops_used` (rows, new tokens), the loops each new
        token took, 0 behind the end of a row, and `mean_loops` (rows,). The first token comes from the prompt's pass,
        at full depth.

        Raises:
            ValueError: Tokens should leave early without a cache or in compiled passes; `kv_reuse="last"` meets
                assisted decoding or a prompt in chunks; or an argument is impossible.
        """
        with self.model.resting_weights(), _recording() as record:
            output = super().generate(*args, **kwargs)
        if isinstance(output, ModelOutput):
            record.write(output)
        return output

    def generate_batch(self, *args, **kwargs):
        """As in every causal model of transformers; the weights are quantised once per call."""
        with self.model.resting_weights():
            return super().generate_batch(*args, **kwargs)

    def init_continuous_batching(self, generation_config: GenerationConfig | None = None, *args, **kwargs):
        """
        As in every causal model of transformers.

        Raises:
            ValueError: The configuration asks for `exit_threshold` below 1 or `kv_reuse="last"`, or the generation
                configuration for a depth.
        """
        asked = _configured_depth(self.generation_config if generation_config is None else generation_config)
        if asked:
            raise ValueError(
                "continuous batching runs at the depth of the model's configuration: set it there instead of in the "
                f"generation configuration, got {asked}"
            )
        _, threshold = depth_to_run(self.config)
        if threshold < 1 or self.config.kv_reuse == "last":
            asked = f"exit_threshold={threshold}" if threshold < 1 else 'kv_reuse="last"'
            raise ValueError(
                f"continuous batching cannot be used with {asked}: its paged cache holds one block table for all "
                "(loop, layer) slots and its batches have a fixed depth. Use generate, or set exit_threshold=1 and "
                'kv_reuse="none" in the configuration.'
            )
        return super().init_continuous_batching(generation_config, *args, **kwargs)

    def adjust_generation_fn(
        self, generation_config, from_auto_class, from_pipeline, pretrained_model_name_or_path, **kwargs
    ) -> None:
        """Called by `from_pretrained` to read the generation configuration."""
        super().adjust_generation_fn(
            generation_config, from_auto_class, from_pipeline, pretrained_model_name_or_path, **kwargs
        )
        if generation_config is not None or not self.generation_config._from_model_config:
            return
        # Of a file that was made from a model's configuration, transformers reads its own fields only.
        settings = {name: kwargs[name] for name in FILE_ARGUMENTS if name in kwargs}
        try:
            written = GenerationConfig.from_pretrained(
                pretrained_model_name_or_path, _from_model_config=False, **settings
            )
        except OSError:
            return  # there is no such file
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
        # This copy is handed on to an assistant, which has a depth of its own.
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
                "exit_threshold below 1 needs a cache, because tokens of a prompt run all loops and without a cache "
                f"every pass reads a prompt, got exit_threshold={threshold} with use_cache=False"
            )
        if self.config.kv_reuse == "last":
            self._check_kv_reuse(generation_config, generation_mode)
        result = super()._prepare_cache_for_generation(
            generation_config, model_kwargs, generation_mode, *args, **kwargs
        )
        if leaves_early and self._valid_auto_compile_criteria(model_kwargs, generation_config):
            raise ValueError(
                "exit_threshold below 1 cannot be used with a compiled static cache: how many loops run is known only "
                f"when they ran, got {threshold}. Use a dynamic cache, disable_compile=True, or exit_at_loop for a "
                "fixed depth."
            )
        if leaves_early:
            model_kwargs["prompt_length"] = model_kwargs["position_ids"].shape[-1]
        _record.get().mode = generation_mode
        return result

    def _check_kv_reuse(self, generation_config: GenerationConfig, generation_mode: GenerationMode) -> None:
        if generation_mode == GenerationMode.ASSISTED_GENERATION:
            raise ValueError(
                'kv_reuse="last" cannot be used with assisted decoding or prompt lookup: candidates that are read in '
                "one pass would attend to each other's keys and values of the same loop instead of the last one's. "
                'Decode without candidates, or set kv_reuse="none" in the configuration.'
            )
        if generation_config.prefill_chunk_size is not None:
            raise ValueError(
                'kv_reuse="last" cannot be used with prefill_chunk_size: the prompt must be read in one pass, because '
                "only the last loop's keys and values are left after it. Leave prefill_chunk_size out, or set "
                'kv_reuse="none" in the configuration.'
            )

    def _get_stopping_criteria(self, *args, **kwargs) -> StoppingCriteriaList:
        return _RecordedCriteria(super()._get_stopping_criteria(*args, **kwargs))

    def _get_candidate_generator(self, *args, model_kwargs: dict, **kwargs):
        # An assistant has a depth of its own, if any.
        others = {name: value for name, value in model_kwargs.items() if name not in DEPTH_ARGUMENTS}
        return super()._get_candidate_generator(*args, model_kwargs=others, **kwargs)

    def _update_model_kwargs_for_generation(
        self, outputs: ModelOutput, model_kwargs: dict, is_encoder_decoder: bool = False, num_new_tokens: int = 1
    ) -> dict:
        record = _record.get()
        if record is not None:  # a loop of the user's own has none
            record.add(outputs, num_new_tokens)
            if "prompt_length" in model_kwargs:
                model_kwargs["finished"] = record.finished
        return super()._update_model_kwargs_for_generation(outputs, model_kwargs, is_encoder_decoder, num_new_tokens)
