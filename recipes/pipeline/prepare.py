"""Preparation of the data: from sources to verified rows, a tokenizer and packed blocks."""

import hashlib
import json
import shutil
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
from datasets import Dataset, load_from_disk
from rich.console import Console
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from evaluation.complete_files import complete_folder, delete_partial
from evaluation.progress import show_progress
from evaluation.rust import RustVerifier
from evaluation.rust.rustc.toolchain import find_toolchain
from evaluation.tables import plain_console, print_table
from recipes.pipeline.data_settings import DataSettings
from recipes.pipeline.file_names import COMPILE_FUNCTIONS_FILE, COMPILE_TASKS_FILE, SYNTHETIC_FILE, TASKS_FILE
from recipes.pipeline.schema import Recipe
from recipes.pipeline.stages.stage import FINISHED, OWN_TEXT
from trainers.data.augment import KINDS, Augmentation, augment_documents
from trainers.data.benchmark_problems import load_benchmarks
from trainers.data.blocks import TokenBlocks, open_blocks
from trainers.data.kept import read_kept
from trainers.data.manifest import MANIFEST_FILE, PackSettings, file_identities
from trainers.data.mix_names import MIX_NAMES, SYNTHETIC_DATA, VERIFIED_EXAMPLES, parts_of_mix, weight_group
from trainers.data.other_comments import with_other_comments
from trainers.data.other_names import names_of, with_other_names
from trainers.data.pack import pack_documents
from trainers.data.preparation.documents import source_number
from trainers.data.preparation.inputs import INPUTS, changed_inputs, keep_inputs
from trainers.data.preparation.prepare import ROWS, prepare_rows
from trainers.data.preparation.report import CORPUS, Usage, benchmark_lines, keep_command, report_tables
from trainers.data.preparation.selection import select_by_difficulty
from trainers.data.preparation.settings import PreparationSettings
from trainers.data.preparation.shards import shard_paths, write_json, write_rows
from trainers.data.preparation.split import split_rows
from trainers.data.preparation.workers import check_num_workers
from trainers.data.row_index import RowIndex
from trainers.data.sources import Document, Source
from trainers.data.standalone_functions import standalone_functions
from trainers.data.synthetic.family import TIERS
from trainers.data.synthetic.stream import choose_families
from trainers.data.synthetic.verified import LICENSE, write_synthetic
from trainers.data.tasks.own_files import read_own_tasks
from trainers.data.tasks.task import read_tasks, split_tasks
from trainers.data.tasks.text_functions import compilable, functions_asked, head_of_signature, text_functions
from trainers.data.tokenizer import train_tokenizer
from trainers.data.verify import first_compiling, verify_sample

console = Console(highlight=False)

ALL, TEXT = "all", "text"
"""Names of groups: all texts to train on, and all real ones among them."""
MADE_FILE, TOKENIZER, VALIDATION = "made.jsonl", "tokenizer", "validation"


@dataclass(frozen=True)
class Prepared:
    """
    What training starts from: the tokenizer and the packed blocks.

    Attributes:
        tokenizer: Trained on all training texts, whatever the stages read of them, or that of the model that the run
            starts from.
        training: Blocks by the name of the stage that reads them.
        validation: Held-out blocks, of all sources as they are.
        epochs: Number of times that a stage's blocks hold each part of its mix, by stage.
    """

    tokenizer: PreTrainedTokenizerFast
    training: Mapping[str, Dataset | TokenBlocks]
    validation: Dataset
    epochs: Mapping[str, Mapping[str, float]] = field(default_factory=dict)


def prepare(recipe: Recipe, folder: Path, num_workers: int | None = None) -> None:
    """
    Prepare the rows, train the tokenizer and pack the blocks. An interrupted call is continued by an equal one; if the
    inputs have changed since then, it begins again.

    Args:
        recipe: Of the run.
        folder: For everything that is written.
        num_workers: Number of processes that inspect and verify; None for one per processor.

    Raises:
        ValueError: The data are too few for a stage, lack a source that a mix names, or compile too rarely.
        CodeExecutionNotAllowed: Crates or the tests of variants are to be run without `HF_ALLOW_CODE_EVAL=1`.
    """
    if (folder / FINISHED).exists():
        return
    data, corpus = recipe.data, folder / CORPUS
    own_sources = data.own_sources()
    sources = [*own_sources, *data.other_sources()]
    _begin(sources, data.preparation(), folder)
    report = prepare_rows(sources, data.preparation(), corpus, num_workers, progress=True)
    for table in report_tables(report, Usage.read(corpus)):
        print_table(plain_console(), table)
    for line in benchmark_lines(report):
        console.print(line, markup=False)

    shards = shard_paths(corpus / ROWS)
    index = RowIndex.of(shards)
    real = np.arange(len(index))
    if data.difficulty is not None:
        is_kept, table = select_by_difficulty(shards, data.difficulty, recipe.training.seed)
        print_table(plain_console(), table)
        real = real[is_kept]
    source_of = np.array([source_number(shard) for shard in shards])[index.files[real]]
    own_rows = real[source_of < len(own_sources)]
    own, validation = split_rows(index, own_rows, data.validation_fraction, data.least_bytes)
    text = index.in_order(np.concatenate([own, real[source_of >= len(own_sources)]]))
    if not (corpus / MADE_FILE).exists():
        made = make_rows(data, index.documents(text), folder.parent)
        print_sources(made)
        write_rows(corpus / MADE_FILE, (asdict(row) | {"mix": SYNTHETIC_DATA} for row in made))
    if data.verified_sample:
        sample = verify_sample(index.documents(real), data.verified_sample, progress=console.is_terminal)
        write_json(folder / "verification.json", asdict(sample))

    num_real = len(index)
    index = RowIndex.of([*shards, corpus / MADE_FILE])
    training = np.concatenate([text, np.arange(num_real, len(index))])
    kinds = [sources[source_number(shard)].kind for shard in shards] + ["synthetic"]
    groups = _groups(index, training, kinds) | {ALL: training, TEXT: text, OWN_TEXT: own}
    epochs = _pack(recipe, index, groups, validation, folder)
    write_json(folder / FINISHED, {"texts": len(real), "epochs": epochs})


def check_data(data: DataSettings, num_workers: int | None = None) -> None:
    """
    Check what a preparation is given, before anything is written or deleted.

    Args:
        data: Settings of the data.
        num_workers: As for [`prepare`].

    Raises:
        ValueError: A setting is out of range, a source is missing or empty, or a row of the task file is no task.
    """
    check_num_workers(num_workers)
    data.preparation()
    for source in [*data.own_sources(), *data.other_sources()]:
        source.check()
    if data.task_file is not None:
        read_own_tasks(data.task_file)


def changes_since(data: DataSettings, folder: Path) -> list[str]:
    """Return a line for each input that has changed since the data in a folder were prepared."""
    if not (folder / CORPUS / INPUTS).exists():
        # A run of an earlier version, which kept no inputs.
        return []
    check_data(data)
    sources = [*data.own_sources(), *data.other_sources()]
    return changed_inputs(sources, data.preparation(), folder / CORPUS)


def _begin(sources: Sequence[Source], settings: PreparationSettings, folder: Path) -> None:
    """Begin a preparation in a folder, unless an equal one can be continued there."""
    corpus = folder / CORPUS
    if (corpus / INPUTS).exists():
        changed = changed_inputs(sources, settings, corpus)
        if not changed:
            delete_partial(folder)
            return
        lines = "\n".join(changed)
        console.print(f"The inputs have changed, so that the data is prepared again:\n{lines}", markup=False)
    shutil.rmtree(folder, ignore_errors=True)
    keep_inputs(sources, settings, corpus)
    keep_command(corpus)


def _pack(
    recipe: Recipe, index: RowIndex, groups: Mapping[str, np.ndarray], validation: np.ndarray, folder: Path
) -> dict[str, dict[str, float]]:
    """
    Train the tokenizer on all texts to train on, unless the run starts from a saved model, which has one, and pack the
    blocks of every mix and of the held-out texts.

    Returns:
        Number of times that the blocks of a mix hold each of its parts, by the folder of the mix.
    """
    data = recipe.data
    mixes = {mix_folder(mix): mix for stage in recipe.active_stages for mix in stage.mixes(recipe)}
    plans = {
        name: index.plan(groups, {ALL: 1.0} if mix is None else _present(mix, groups)) for name, mix in mixes.items()
    }
    if not (folder / TOKENIZER).exists():
        if recipe.init_from is not None:
            tokenizer = recipe.init_from.tokenizer()
        else:
            texts = (document.code for document in index.documents(groups[ALL]))
            tokenizer = train_tokenizer(texts, data.vocab_size, data.seq_len, data.fim_rate > 0)
        with complete_folder(folder / TOKENIZER) as partial:
            tokenizer.save_pretrained(partial)
    tokenizer = _read_tokenizer(folder)
    packing = PackSettings(data.seq_len, data.document_masking, data.fim_rate, recipe.training.seed)
    inputs = file_identities(index.paths)
    rustc = find_toolchain().version if data.verify else None
    names = names_of(index.documents(groups[TEXT])) if data.rename_repetitions else []
    for name, plan in plans.items():
        documents = with_other_names(index.mixed(plan, groups), names, recipe.training.seed)
        if data.vary_comments:
            documents = with_other_comments(documents, recipe.training.seed)
        pack_documents(folder / name, documents, tokenizer, packing, inputs, rustc)
    held_out = {VALIDATION: validation}
    texts = index.mixed(index.plan(held_out, {VALIDATION: 1.0}), held_out)
    pack_documents(folder / VALIDATION, texts, tokenizer, PackSettings(data.seq_len), inputs, rustc)
    return {name: plan.epochs for name, plan in plans.items()}


def _groups(index: RowIndex, training: np.ndarray, kinds: Sequence[str]) -> dict[str, np.ndarray]:
    """
    Return the training rows by source, by group of sources, and by part of the mix.

    Args:
        index: All rows.
        training: Numbers of those to train on.
        kinds: Kind of the source of each file of the index.
    """
    rows = index.in_order(training)
    by_source = {name: np.intersect1d(found, rows) for name, found in index.rows_by("source").items()}
    groups = {name: index.in_order(found) for name, found in by_source.items()}
    names, numbers = index.names["mix"], index.numbers["mix"]
    verified = np.array([name == VERIFIED_EXAMPLES or name == SYNTHETIC_DATA for name in names])[numbers]
    unverified_parts = np.array([bool(name) for name in names])[numbers]
    members: dict[str, list[int]] = defaultdict(list)
    for row in rows.tolist():
        kind = kinds[index.files[row]]
        parts = parts_of_mix(kind, bool(verified[row])) if unverified_parts[row] else ()
        # A set: "documentation" is both a group of sources and a part of the mix.
        for name in {weight_group(kind), *parts}:
            members[name].append(row)
    return groups | {name: np.array(found, dtype=np.int64) for name, found in members.items()}


def _present(mix: Mapping[str, float], groups: Mapping[str, np.ndarray]) -> dict[str, float]:
    """Return the shares without those of parts of the standard mix that have no rows; say which these are."""
    empty = [name for name in mix if name in MIX_NAMES and not len(groups.get(name, ()))]
    if empty and len(empty) < len(mix):
        console.print(f"There are no rows for {', '.join(empty)}: the other parts of the mix take their shares")
        return {name: share for name, share in mix.items() if name not in empty}
    return dict(mix)


def read_prepared(recipe: Recipe, folder: Path) -> Prepared:
    """Read what [`prepare`] left in a folder."""
    tokenizer = _read_tokenizer(folder)
    finished = json.loads((folder / FINISHED).read_text())
    names = {stage.name: mix_folder(mix) for stage in recipe.active_stages for mix in stage.mixes(recipe)}
    training = {stage: _read_blocks(folder / name) for stage, name in names.items()}
    if "repetitions" in finished:
        # A run of an earlier version, which counted the text that it repeats most.
        epochs = {stage: {"some of its text": finished["repetitions"].get(name, 1)} for stage, name in names.items()}
    else:
        epochs = {stage: finished["epochs"][name] for stage, name in names.items()}
    validation = _read_blocks(folder / VALIDATION)
    if isinstance(validation, TokenBlocks):
        validation = validation.first(recipe.data.max_validation_blocks).to_dataset()
    assert isinstance(validation, Dataset), "held-out blocks are in memory"
    return Prepared(tokenizer, training, validation, epochs)


def _read_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    tokenizer = AutoTokenizer.from_pretrained(folder / TOKENIZER)
    assert isinstance(tokenizer, PreTrainedTokenizerFast), "it was trained as one"
    return tokenizer


def _read_blocks(folder: Path) -> Dataset | TokenBlocks:
    if (folder / MANIFEST_FILE).exists():
        return open_blocks(folder)
    # A run of an earlier version.
    blocks = load_from_disk(folder)
    assert isinstance(blocks, Dataset), "blocks were saved as one data set"
    return blocks


def make_rows(data: DataSettings, training: Sequence[Document], folder: Path) -> list[Document]:
    """
    Verified samples, solutions of tasks and variants of the training texts, to train on beside them. What is held out
    stays real. The tasks themselves are written for reinforcement learning.

    Args:
        data: How many.
        training: What is varied, together with the samples.
        folder: Where samples and tasks are kept, so that an interrupted call need not make them again.

    Raises:
        CodeExecutionNotAllowed: With variants, whose originals' tests are run, and without `HF_ALLOW_CODE_EVAL=1`.
        ValueError: There are not so many samples, or no functions to compile.
    """
    if not data.makes_programs:
        return []
    # First, because a text without such functions is refused, and programs take most of the time.
    asked = functions_asked(load_benchmarks().benchmarks) if data.decontaminate else set()
    heads: set[str] = set()
    if data.compile_functions:
        path = folder / COMPILE_FUNCTIONS_FILE
        _write_functions(data, training, asked, path)
        heads = {head_of_signature(task.signature) for task in read_tasks(path)}
    functions = _functions(data, training, asked, heads) if data.functions else []
    samples: list[Document] = []
    solutions: list[Document] = []
    hardest_tier = TIERS[-1] if data.max_task_tier is None else data.max_task_tier
    with RustVerifier(run_timeout=1.0, own_programs=True) as verifier:
        if data.synthetic_samples:
            console.print(f"Making {data.synthetic_samples:,} synthetic samples; the compiler and their tests decide")
            path = folder / SYNTHETIC_FILE
            with show_progress("Verifying samples", data.synthetic_samples, "rows") as advance:
                write_synthetic(path, choose_families(), data.synthetic_samples, 0, verifier, on_verified=advance)
            samples = [Document.from_row(row) for row in read_kept(path)]
        if data.tasks:
            console.print(f"Making {data.tasks:,} tasks; their hidden cases must tell right from wrong")
            path = folder / TASKS_FILE
            families = [each for each in choose_families() if each.tier <= hardest_tier]
            with show_progress("Verifying tasks", data.tasks, "rows") as advance:
                write_synthetic(path, families, data.tasks, 0, verifier, tasks=True, on_verified=advance)
            solutions = [
                Document.of("tasks", task.family, "file", LICENSE, task.code)
                for task in split_tasks(read_tasks(path)).pretraining
            ]
        if data.compile_tasks:
            console.print(f"Making {data.compile_tasks:,} tasks of the tiers above {hardest_tier}, to be compiled")
            path = folder / COMPILE_TASKS_FILE
            families = [each for each in choose_families() if each.tier > hardest_tier]
            with show_progress("Verifying tasks", data.compile_tasks, "rows") as advance:
                write_synthetic(path, families, data.compile_tasks, 0, verifier, tasks=True, on_verified=advance)
    made = samples + solutions + functions
    if not data.variants:
        return made
    augmentation = Augmentation(dict.fromkeys(KINDS, data.variants))
    with RustVerifier(run_timeout=1.0) as verifier:
        return made + augment_documents([*training, *samples], augmentation, verifier)


def _write_functions(data: DataSettings, training: Sequence[Document], asked: Collection[str], path: Path) -> None:
    """Write the functions of the text whose completions only have to compile."""
    console.print(f"Taking up to {data.compile_functions:,} documented functions of the text, to be compiled")
    with RustVerifier() as verifier, show_progress("Verifying signatures", data.compile_functions, "rows") as advance:
        # In the order of their hashes: the first documents would have functions of few kinds.
        functions = sorted(text_functions(training, asked), key=lambda task: task.id)
        found = compilable(functions, data.compile_functions, verifier, advance)
    if not found:
        raise ValueError(
            "data.compile_functions must be 0 for this text: none of its functions has a doc comment (///), a "
            "parameter, a return type, and a signature that needs the standard library and types of its file alone"
        )
    console.print(f"{len(found):,} functions of the text were found")
    write_rows(path, map(asdict, found))


def _functions(
    data: DataSettings, training: Sequence[Document], asked: Collection[str], heads: Collection[str]
) -> list[Document]:
    """Return functions of the text that compile alone."""
    console.print(f"Taking up to {data.functions:,} functions of the text that compile alone")
    with RustVerifier() as verifier, show_progress("Verifying functions", data.functions, "rows") as advance:
        candidates = sorted(standalone_functions(training, asked, heads), key=lambda document: document.id)
        found = first_compiling(candidates, data.functions, verifier, lambda document: document.code, advance)
    if not found:
        raise ValueError(
            "data.functions must be 0 for this text, and no mix may name functions: none of its functions has a "
            "parameter, a return type and compiles with the standard library and a few items of its file alone"
        )
    console.print(f"{len(found):,} functions of the text compile alone")
    return found


def mix_folder(mix: Mapping[str, float] | None) -> str:
    """Name of the folder with the blocks of a mix; stages with equal mixes share it."""
    if mix is None:
        return "training"
    # Whole numbers without a decimal point: settings hold 2.0 for a 2 of the recipe, and earlier versions held 2.
    shares = sorted((name, int(share) if float(share).is_integer() else share) for name, share in mix.items())
    return "training-" + hashlib.sha256(json.dumps(shares).encode()).hexdigest()[:8]


def print_sources(rows: list[Document], most: int = 12) -> None:
    """Print the largest sources with their size."""
    sizes: Counter[str] = Counter()
    for row in rows:
        sizes[row.source] += len(row.code.encode())
    texts = Counter(row.source for row in rows)
    for source, size in sizes.most_common(most):
        console.print(f"  {source:<16} {texts[source]:>6,} texts {size / 1e6:>7.2f} MB")
    if len(sizes) > most:
        console.print(f"  and {len(sizes) - most} smaller sources")
