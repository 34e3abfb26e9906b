"""Preparation of the data: from sources to a tokenizer and packed blocks."""

import hashlib
import json
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from datasets import Dataset, load_from_disk
from rich.console import Console
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from evaluation.rust import RustVerifier
from recipes.pipeline.file_names import SYNTHETIC_FILE, TASKS_FILE
from recipes.pipeline.schema import DataSettings, Recipe
from recipes.pipeline.stages.stage import FINISHED, OWN_TEXT
from trainers.data.augment import KINDS, Augmentation, augment_documents
from trainers.data.kept import read_kept
from trainers.data.mix import mix_documents
from trainers.data.pack import pack_blocks
from trainers.data.sources import Document, read_documents
from trainers.data.synthetic.stream import choose_families
from trainers.data.synthetic.verified import LICENSE, write_synthetic
from trainers.data.tasks.task import read_tasks, split_tasks
from trainers.data.tokenizer import train_tokenizer
from trainers.data.verify import verify_sample

console = Console(highlight=False)

# Name in a mix for all real text.
TEXT = "text"


@dataclass(frozen=True)
class Prepared:
    """
    What training starts from: the tokenizer and the packed blocks.

    Attributes:
        tokenizer: Trained on all training texts, whatever the stages read of them.
        training: Blocks by the name of the stage that reads them.
        validation: Held-out blocks, of all sources as they are.
        repetitions: Number of times that a stage's blocks hold their most frequent text, by stage: a mix repeats
            scarce sources.
    """

    tokenizer: PreTrainedTokenizerFast
    training: Mapping[str, Dataset]
    validation: Dataset
    repetitions: Mapping[str, int] = field(default_factory=dict)


def split_rows(
    rows: list[Document], validation_fraction: float, least_bytes: int
) -> tuple[list[Document], list[Document]]:
    """
    Training and validation rows, in the order of their hashes: rows of one source would lie together otherwise. The
    first `validation_fraction` of all possible hashes is held out, and further rows until there are `least_bytes`.

    Raises:
        ValueError: Too little is left to train on.
    """
    rows = sorted(rows, key=lambda row: row.id)
    threshold = int(validation_fraction * 2**32)
    held_out_bytes = num_held_out = 0
    for row in rows:
        if int(row.id[:8], 16) >= threshold and held_out_bytes >= least_bytes:
            break
        held_out_bytes += len(row.code.encode())
        num_held_out += 1
    training, validation = rows[num_held_out:], rows[:num_held_out]
    if sum(len(row.code.encode()) for row in training) < least_bytes:
        raise ValueError(
            f"the data must hold several texts, so that at least {least_bytes:,} bytes can be held out and as many be "
            f"trained on, got {sum(len(row.code.encode()) for row in rows):,} bytes in {len(rows)} texts"
        )
    return training, validation


def prepare(recipe: Recipe, folder: Path) -> None:
    """
    Read the data, train the tokenizer, pack the blocks; what an earlier, equal call made is used again.

    Raises:
        ValueError: The data are too few for a stage, or lack a source that a mix names.
    """
    finished = folder / FINISHED
    if finished.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    data = recipe.data
    rows = read_documents(data.data_dir)
    print_sources(rows)
    # A token is rarely longer than eight bytes, so both parts fill at least a block.
    own, validation = split_rows(rows, data.validation_fraction, 8 * data.seq_len)
    text = list(own)
    if data.toolchain_docs and data.data_dir is not None:
        beside = read_documents(None)
        print_sources(beside)
        known = {row.id for row in rows}
        text += [row for row in beside if row.id not in known]
    made = make_rows(data, text, folder.parent)
    print_sources(made)
    training, groups = text + made, {TEXT: text, OWN_TEXT: own}
    mixes = {mix_folder(mix): mix for stage in recipe.active_stages for mix in stage.mixes(recipe)}
    parts = {name: training if mix is None else mix_documents(training, mix, groups) for name, mix in mixes.items()}
    if data.verified_sample:
        sample = verify_sample(rows, data.verified_sample, progress=console.is_terminal)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "verification.json").write_text(json.dumps(asdict(sample)) + "\n")
    tokenizer = train_tokenizer((row.code for row in training), data.vocab_size, data.seq_len)
    tokenizer.save_pretrained(folder / "tokenizer")
    for name, part in (parts | {"validation": validation}).items():
        blocks = pack_blocks([row.code for row in part], tokenizer, data.seq_len)
        if name == "validation":
            blocks = blocks.select(range(min(len(blocks), data.max_validation_blocks)))
        blocks.save_to_disk(folder / name)
    most = {name: max(Counter(row.id for row in part).values()) for name, part in parts.items()}
    finished.write_text(json.dumps({"texts": len(rows), "repetitions": most}) + "\n")


def read_prepared(recipe: Recipe, folder: Path) -> Prepared:
    """Read what [`prepare`] left in a folder."""
    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    finished = json.loads((folder / FINISHED).read_text())
    names = {stage.name: mix_folder(mix) for stage in recipe.active_stages for mix in stage.mixes(recipe)}
    training = {stage: load_from_disk(folder / name) for stage, name in names.items()}
    repetitions = {stage: finished.get("repetitions", {}).get(name, 1) for stage, name in names.items()}
    return Prepared(tokenizer, training, load_from_disk(folder / "validation"), repetitions)


def make_rows(data: DataSettings, training: Sequence[Document], folder: Path) -> list[Document]:
    """
    Verified samples, solutions of tasks and variants of the training texts, to train on beside them. What is held out
    stays real.

    Args:
        data: How many.
        training: What is varied, together with the samples.
        folder: Where samples and tasks are kept, so that an interrupted call need not make them again.

    Raises:
        CodeExecutionNotAllowed: With variants, whose originals' tests are run, and without `HF_ALLOW_CODE_EVAL=1`.
        ValueError: There are not so many samples.
    """
    if not data.makes_programs:
        return []
    samples: list[Document] = []
    solutions: list[Document] = []
    with RustVerifier(run_timeout=1.0, own_programs=True) as verifier:
        if data.synthetic_samples:
            console.print(f"Making {data.synthetic_samples:,} synthetic samples; the compiler and their tests decide")
            path = folder / SYNTHETIC_FILE
            write_synthetic(path, choose_families(), data.synthetic_samples, 0, verifier)
            samples = [Document(**{name: row[name] for name in Document.__match_args__}) for row in read_kept(path)]
        if data.tasks:
            console.print(f"Making {data.tasks:,} tasks; their hidden cases must tell right from wrong")
            path = folder / TASKS_FILE
            write_synthetic(path, choose_families(tier=data.task_tier), data.tasks, 0, verifier, tasks=True)
            solutions = [
                Document.of("tasks", task.family, "file", LICENSE, task.code)
                for task in split_tasks(read_tasks(path)).pretraining
            ]
    if not data.variants:
        return samples + solutions
    augmentation = Augmentation(dict.fromkeys(KINDS, data.variants))
    with RustVerifier(run_timeout=1.0) as verifier:
        return samples + solutions + augment_documents([*training, *samples], augmentation, verifier)


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
