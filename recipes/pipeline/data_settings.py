"""Settings of a recipe's data: where text comes from, what is left out, how it is verified, mixed and packed."""

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from recipes.pipeline.fields import Settings, check, setting, settings
from trainers.data.mix import check_shares
from trainers.data.special_tokens import FIM_TOKENS, SMALLEST_VOCABULARY

if TYPE_CHECKING:
    from trainers.data.preparation.settings import PreparationSettings
    from trainers.data.sources import Source

PERMISSIVE_NAME = "permissive"


@settings
class DataSettings(Settings):
    """Data that the model is trained on."""

    section: ClassVar[str] = "data"

    data_dir: Path | None = setting(
        "Folder with .rs files; None uses the documentation of the installed toolchain.", default=None
    )
    toolchain_docs: bool = setting(
        "With a data_dir, also train on the installed toolchain's documentation. The held-out text is from data_dir "
        "alone.",
        default=False,
    )
    sources: tuple[str, ...] = setting(
        "More text, each as KIND=PLACE, such as 'crates=FOLDER' (--source adds one; `nanochat-ternary data sources` "
        "lists the kinds). Without a data_dir they replace the toolchain's documentation, which is 'documentation'.",
        default=(),
    )
    limit: int | None = setting("Maximum number of texts of each source; None for all.", default=None, ge=1)
    licenses: tuple[str, ...] | None = setting(
        "SPDX licenses that text may have, other than that of data_dir; None for any. 'permissive' stands for the "
        "usual ones, such as MIT and Apache-2.0.",
        default=None,
    )
    min_stars: int = setting("Minimum number of stars of a text's repository.", default=0, ge=0)
    min_tests: int = setting("Minimum number of tests of a text's crate.", default=0, ge=0)
    compilation_required: bool = setting("Train only on text that the compiler accepted.", default=False)
    verify: bool = setting(
        "Verify all text: crates as a whole, which runs their build scripts in the sandbox, the rest by itself. "
        "A mix names what was accepted 'verified_examples', and other files 'high_quality_rust'.",
        default=False,
    )
    min_compile_rate: float = setting(
        "With verify, smallest share of a source's judged texts that must compile; a source below it stops the "
        "preparation.",
        default=0.0,
        ge=0,
        le=1,
    )
    verify_every_n_examples: int = setting(
        "Judged texts of a source between two checks of its compile rate.", default=100, ge=1
    )
    near_duplicates: float = setting(
        "Jaccard similarity from which a text is left out as a near-duplicate of an earlier one; 0 keeps them.",
        default=0.8,
        ge=0,
        le=1,
    )
    decontaminate: bool = setting("Leave out text that shares words with the project's benchmarks.", default=True)
    difficulty: Mapping[str, float] | None = setting(
        "Shares of the text by difficulty, such as {'easy': 0.3, 'medium': 0.5, 'hard': 0.2}; None keeps all.",
        default=None,
    )
    document_masking: bool = setting("Restrict attention to the text's own document within a block.", default=False)
    fim_rate: float = setting(
        "Share of the texts whose middle is moved to the end (fill-in-the-middle).",
        default=0.0,
        ge=0,
        le=1,
    )
    seq_len: int = setting("Tokens per packed block.", default=512, ge=2)
    vocab_size: int = setting("Size of the tokenizer trained on the data.", default=4096, ge=SMALLEST_VOCABULARY)
    validation_fraction: float = setting("Share of the texts that is held out.", default=0.02, gt=0, lt=0.5)
    max_validation_blocks: int = setting(
        "Maximum number of held-out blocks on which the loss is measured.", default=256, ge=1
    )
    verified_sample: int = setting(
        "Number of texts that rustc checks, to report how much of the data compiles; 0 for none.", default=256, ge=0
    )
    synthetic_samples: int = setting(
        'Number of synthetic programs, verified by the compiler, to train on as source "synthetic".', default=0, ge=0
    )
    variants: float = setting(
        "Share of the training texts to rewrite in each way (names, order, forms, annotations); variants that compile "
        'are trained on as source "augmented".',
        default=0.0,
        ge=0,
        le=1,
    )
    tasks: int = setting(
        "Number of verified tasks for reinforcement learning. The solutions of half of the training tasks are trained "
        'on as source "tasks"; the prompts of the other half are for reinforcement learning.',
        default=0,
        ge=0,
    )
    functions: int = setting(
        "Maximum number of functions and methods of the training text that compile with a few items of their files "
        'and the standard library alone, to train on as source "functions".',
        default=0,
        ge=0,
    )
    rename_repetitions: bool = setting(
        "Each time that a mix repeats a generated program (sources tasks and synthetic), give its parameters and "
        "variables names of the real text instead of its own.",
        default=False,
    )
    vary_comments: bool = setting(
        "Each time that a mix repeats a generated program, draw the form of its comments (doc, line or block), and in "
        "half of the repetitions leave out all but the first paragraph.",
        default=False,
    )
    max_task_tier: int | None = setting(
        "Maximum difficulty of the tasks, from 0 (one line) to 4; None uses all.", default=None, ge=0, le=4
    )
    compile_tasks: int = setting(
        "Number of further tasks, of the tiers above max_task_tier, of which reinforcement learning asks only that "
        "their completions compile with the right signature.",
        default=0,
        ge=0,
    )
    compile_functions: int = setting(
        "Maximum number of documented functions and methods of the training text, of which reinforcement learning "
        "asks that their completions compile with the right signature. Types that it names are in the prompt.",
        default=0,
        ge=0,
    )
    task_file: str | None = setting(
        "Own tasks for reinforcement learning, in a file of JSON lines, or hub:NAME for a data set (docs/tasks.md). A "
        "tenth of them is held out.",
        default=None,
        min_length=1,
    )
    task_crates: Path | None = setting(
        "With a task_file, folder of the crate sources that its hole tests need.", default=None
    )
    mix: Mapping[str, float] | None = setting(
        "Shares of the training text by source, such as {'std-examples': 1, 'std-sources': 3}; None uses every text "
        "once. In a folder the sources are its subfolders. 'text' is all real text, 'data_dir' all of the folder, "
        "'synthetic', 'tasks' and 'augmented' are generated, 'functions' are of the text. Parts across sources: "
        "'high_quality_rust', 'verified_examples', 'synthetic_data', 'documentation'; those without text leave their "
        "share to the others.",
        default=None,
    )

    def __post_init__(self) -> None:
        check_shares("data.mix", self.mix)
        if self.difficulty is not None:
            from trainers.data.difficulty import check_target

            check_target("data.difficulty", self.difficulty)
        repeated = next((source for source, count in Counter(self.sources).items() if count > 1), None)
        check("data", "sources", repeated, "different from each other", repeated is None)
        harder = self.max_task_tier is not None and self.max_task_tier < 4
        rule = "0 without a max_task_tier below 4, above which these tasks are"
        check("data", "compile_tasks", self.compile_tasks, rule, harder or not self.compile_tasks)
        alone = self.task_crates is not None and self.task_file is None
        check("data", "task_crates", self.task_crates, "left out without a task_file", not alone)
        smallest = SMALLEST_VOCABULARY + len(FIM_TOKENS) if self.fim_rate else SMALLEST_VOCABULARY
        rule = f"at least {smallest} with fim_rate={self.fim_rate:g}"
        check("data", "vocab_size", self.vocab_size, rule, self.vocab_size >= smallest)

    @property
    def least_bytes(self) -> int:
        """Bytes of text that are held out at least: a token is rarely longer than eight, so that they fill a block."""
        return 8 * self.seq_len

    @property
    def makes_programs(self) -> bool:
        """Whether programs are generated or rewritten, and verified."""
        tasks = self.tasks or self.compile_tasks or self.compile_functions
        return bool(self.synthetic_samples or self.functions or self.variants or tasks)

    @property
    def reads_crates(self) -> bool:
        """Whether crates are compiled as a whole, with their build scripts."""
        return self.verify and any(source.startswith(("crates=", "crate-examples=")) for source in self.sources)

    def own_sources(self) -> "list[Source]":
        """
        Return the sources that text is held out from: the data_dir, or all without one.

        Raises:
            ValueError: A source does not exist.
        """
        from trainers.data.sources.default import default_sources
        from trainers.data.sources.folder import FolderSource

        if self.data_dir is not None:
            return [FolderSource(self.data_dir, is_own=True)]
        return self._named_sources() or default_sources()

    def other_sources(self) -> "list[Source]":
        """Return the sources that are only trained on."""
        from trainers.data.sources.default import default_sources

        if self.data_dir is None:
            return []
        return [*(default_sources() if self.toolchain_docs else []), *self._named_sources()]

    def _named_sources(self) -> "list[Source]":
        from trainers.data.sources.registry import parse_source

        return [parse_source(source) for source in self.sources]

    def preparation(self) -> "PreparationSettings":
        """Return how the sources become rows."""
        from trainers.data.preparation.settings import PreparationSettings
        from trainers.data.sources.filters import SourceFilter
        from trainers.data.sources.licenses import PERMISSIVE

        return PreparationSettings(
            filter=SourceFilter(
                min_stars=self.min_stars,
                min_tests=self.min_tests,
                compilation_required=self.compilation_required,
                licenses=None if self.licenses is None else _licenses(self.licenses, PERMISSIVE),
            ),
            near_duplicates=self.near_duplicates,
            decontaminate=self.decontaminate,
            verify=self.verify,
            min_compile_rate=self.min_compile_rate,
            verify_every_n_examples=self.verify_every_n_examples,
            difficulty=self.difficulty,
            limit=self.limit,
        )


def _licenses(names: tuple[str, ...], permissive: frozenset[str]) -> frozenset[str]:
    """Return licenses by name, where "permissive" stands for several."""
    return frozenset(names) - {PERMISSIVE_NAME} | (permissive if PERMISSIVE_NAME in names else frozenset())
