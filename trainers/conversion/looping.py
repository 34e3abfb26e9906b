"""A LoopLM with one loop becomes one with several: prelude, core, which the loops share, and coda."""

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path

from evaluation.loading import load_model
from evaluation.public_paths import without_folders
from evaluation.suites.perplexity import read_texts
from modeling_nanochat import LoopLMConfig
from trainers.conversion.looplm_folder import read_looplm
from trainers.conversion.similarity import Run, run_distances
from trainers.conversion.source import zeros
from trainers.conversion.writing import check_output, write_model

RECORD = "loop.json"
LOOP_SCALE = "model.loop_scale"


@dataclass(frozen=True)
class LoopedModel:
    """
    Record of a model that was looped. `loop.json` in its folder keeps it, with the last part of absolute paths.

    Attributes:
        model: Folder of the model with one loop.
        num_layers: Number of its layers.
        core: Index of the first layer that the loops apply again, counted from 0, and the index after the last.
        num_loops: Number of loops.
        runs: Runs of layers that were measured to choose the core; none if it was given.
        texts: Files that they were measured on.
        tokens: Number of tokens in them.
    """

    model: str
    num_layers: int
    core: tuple[int, int]
    num_loops: int
    runs: tuple[Run, ...] = ()
    texts: tuple[str, ...] = ()
    tokens: int = 0


def loop_model(
    model: Path,
    output_dir: Path,
    num_loops: int = 2,
    core: tuple[int, int] | None = None,
    core_layers: int | None = None,
    texts: Sequence[str] = (),
    whole_stack: bool = False,
) -> LoopedModel:
    """
    Write a LoopLM that applies some of its layers several times, and computes the same at every depth: further loops
    begin without an effect (`loop_scale` is zero) and are learned. The weights are copied; only the choice of the core
    by similarity needs the model in memory.

    `exit_at_loop` becomes None, and `kv_reuse` "none": with one loop they have no effect.

    Args:
        model: Folder of a LoopLM with one loop.
        output_dir: Folder to write; it must not exist.
        num_loops: Number of loops.
        core: Index of the first layer of the core, counted from 0, and the index after the last; None for the run of
            layers whose output is most similar to its input.
        core_layers: Number of layers of a core that is chosen; None for half of the layers. At least one layer before
            and one after it stay outside.
        texts: Files on which similarity is measured: .rs files, folders of them, or JSON lines with a column `code`.
            None for the Rust files that come with this package.
        whole_stack: Loop all layers.

    Raises:
        ValueError: The model is no LoopLM, is packed or looped already; the core is empty or outside the layers;
            more than one of `core`, `core_layers` and `whole_stack` is given, or texts for a core that is given; there
            is no text or no tokenizer; `output_dir` exists, or the disk lacks the space.
    """
    source = read_looplm(model)
    check_one_loop(source.config)
    num_layers = source.config.num_shared_layers
    if [core is not None, core_layers is not None, whole_stack].count(True) > 1:
        raise ValueError("core, core_layers and whole_stack exclude each other, got more than one of them")
    given = (0, num_layers) if whole_stack else core
    if given is not None and texts:
        raise ValueError(f"texts must be left out when the core is given, got {', '.join(texts)}")
    # Checks and memory do not depend on the place of the core.
    length = core_length(num_layers, given, core_layers)
    config = looped_config(source.config, num_loops, given or (1, 1 + length))
    scale = zeros(LOOP_SCALE, (config.hidden_size,))
    source = replace(source, config=config, files=[*source.files[:-1], [*source.files[-1], scale]])
    check_output(source, output_dir)
    if given is not None:
        record = LoopedModel(str(model), num_layers, given, num_loops)
    else:
        record = _choose_core(model, num_layers, length, num_loops, texts)
        config = looped_config(config, num_loops, record.core)
    write_model(replace(source, config=config), output_dir, (RECORD, without_folders(asdict(record))))
    return record


def check_one_loop(config: LoopLMConfig) -> None:
    """Raise `ValueError` for a model that is looped already."""
    if config.num_loops > 1 or config.loop_update != "norm":
        raise ValueError(
            f"model must have num_loops=1 and loop_update='norm', got {config.num_loops} and "
            f"{config.loop_update!r}: it is looped already"
        )


def core_length(num_layers: int, core: tuple[int, int] | None, core_layers: int | None) -> int:
    """Return the number of layers of a core, given or to be chosen. Raises `ValueError` if there is no such core."""
    if core is not None:
        start, end = core
        if not 0 <= start < end <= num_layers:
            raise ValueError(f"core must be START:END with 0 <= START < END <= {num_layers}, got {start}:{end}")
        return end - start
    if num_layers < 3:
        raise ValueError(
            f"model must have at least 3 layers, from which a core between prelude and coda is chosen, got "
            f"{num_layers}: give core or whole_stack"
        )
    length = num_layers // 2 if core_layers is None else core_layers
    if not 1 <= length <= num_layers - 2:
        raise ValueError(f"core_layers must be an integer from 1 to {num_layers - 2}, got {length}")
    return length


def looped_config(config: LoopLMConfig, num_loops: int, core: tuple[int, int]) -> LoopLMConfig:
    """Return the configuration of the looped model. Raises `ValueError` for a wrong number of loops."""
    if isinstance(num_loops, bool) or not isinstance(num_loops, int) or num_loops < 2:
        raise ValueError(f"num_loops must be an integer >= 2, got {num_loops!r}")
    num_layers = config.num_stored_layers
    start, end = core
    looped = copy.deepcopy(config)
    looped.loop_update, looped.num_loops = "scaled", num_loops
    looped.num_prelude_layers, looped.num_shared_layers, looped.num_coda_layers = start, end - start, num_layers - end
    looped.exit_at_loop, looped.kv_reuse = None, "none"
    looped.validate_architecture()
    return looped


def _choose_core(model: Path, num_layers: int, length: int, num_loops: int, texts: Sequence[str]) -> LoopedModel:
    """Measure all runs of layers between the first and the last layer; return the record with the most similar one."""
    paths = [Path(text) for text in texts] or [Path(str(files("trainers.data").joinpath("builtin_rust")))]
    read = [text for path in paths for text in read_texts(path).values()]
    loaded, tokenizer = load_model(str(model), dtype="float32")
    runs, tokens = run_distances(loaded, tokenizer, read, length, range(1, num_layers - length))
    best = min(runs, key=lambda run: run.distance)
    names = tuple(str(path) for path in paths)
    return LoopedModel(str(model), num_layers, (best.start, best.end), num_loops, runs, names, tokens)
