"""The exercises of Exercism's Rust track, from a checkout of exercism/rust or as JSON lines."""

import json
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from trainers.data.sources.crate import FIRST_EDITION, count_tests_in
from trainers.data.sources.document import FILE, Document
from trainers.data.sources.json_lines import json_lines
from trainers.data.sources.source import UNREADABLE, Source, check_folder, files_identity, read_text

LICENSE = "MIT"
EXERCISES = Path("exercises")
# Folders of exercises, with the name of their solutions.
SOLUTIONS = {"practice": ".meta/example.rs", "concept": ".meta/exemplar.rs"}
DEPRECATED = "exercises that are deprecated"
UNSOLVED = "exercises without a solution or tests"


@dataclass(frozen=True)
class Exercise:
    """
    An exercise.

    Attributes:
        slug: Its name, such as "two-fer".
        kind: "practice" or "concept".
        instructions: In Markdown.
        stub: Files to complete, by path.
        tests: Files of tests, by path; all tests but the first have `#[ignore]`.
        solution: Files of the solution, by path.
        edition: Edition of Rust.
        dependencies: Names of the crates that it needs.
    """

    slug: str
    kind: str
    instructions: str
    stub: Mapping[str, str]
    tests: Mapping[str, str]
    solution: Mapping[str, str]
    edition: str
    dependencies: tuple[str, ...]

    @property
    def num_tests(self) -> int:
        """Number of tests."""
        return sum(map(count_tests_in, self.tests.values()))


class ExercismSource(Source):
    """
    Solutions of exercises as documents. The exercises are a benchmark in other projects: leave them out of training if
    a score on them is reported.

    Args:
        path: Checkout of exercism/rust, or a file of JSON lines with the columns `slug kind instructions stub tests
            example edition deps`, which may be compressed.
        solutions: Whether the documents are the solutions; otherwise they are the files of tests.
    """

    kind = "exercism"

    def __init__(self, path: Path, solutions: bool = True):
        super().__init__(self.kind)
        self.path, self.solutions = path, solutions

    def exercises(self) -> Iterator[Exercise]:
        """
        Yield the exercises in order.

        Raises:
            ValueError: The file has not the columns, or a manifest is not TOML.
        """
        for exercise in self._rows() if self.path.is_file() else self._folders():
            if exercise.solution and exercise.tests:
                yield exercise
            else:
                self.left_out[UNSOLVED] += 1

    def _documents(self) -> Iterator[Document]:
        for exercise in self.exercises():
            for path, code in sorted((exercise.solution if self.solutions else exercise.tests).items()):
                yield Document.of(
                    self.name,
                    f"{exercise.kind}/{exercise.slug}/{path}",
                    FILE,
                    LICENSE,
                    code,
                    edition=exercise.edition,
                    num_tests=exercise.num_tests,
                )

    def _rows(self) -> Iterator[Exercise]:
        for row in json_lines(self.path):
            try:
                yield Exercise(
                    slug=row["slug"],
                    kind=row["kind"],
                    instructions=row["instructions"],
                    stub=row["stub"],
                    tests=row["tests"],
                    solution=row["example"],
                    edition=row["edition"],
                    dependencies=tuple(row["deps"]),
                )
            except KeyError as error:
                columns = ", ".join(row)
                raise ValueError(f"{self.path} must have a column {error} of exercises, got {columns}") from None

    def _folders(self) -> Iterator[Exercise]:
        deprecated = self._deprecated()
        for kind, solution in SOLUTIONS.items():
            for folder in sorted((self.path / EXERCISES / kind).glob("*/")):
                if folder.name in deprecated:
                    self.left_out[DEPRECATED] += 1
                elif folder.is_dir():
                    yield self._exercise(folder, kind, solution)

    def _exercise(self, folder: Path, kind: str, solution: str) -> Exercise:
        manifest = folder / "Cargo.toml"
        try:
            settings = tomllib.loads(manifest.read_text(encoding="utf-8")) if manifest.is_file() else {}
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise ValueError(f"{manifest} must be TOML, got a file with an error: {error}") from error
        return Exercise(
            slug=folder.name,
            kind=kind,
            instructions="".join(self._texts(folder, ".docs/instructions.md").values()),
            stub=self._texts(folder, "src/*.rs"),
            tests=self._texts(folder, "tests/*.rs"),
            solution=self._texts(folder, solution),
            edition=settings.get("package", {}).get("edition", FIRST_EDITION),
            dependencies=tuple(settings.get("dependencies", {})),
        )

    def _texts(self, folder: Path, pattern: str) -> dict[str, str]:
        found = {}
        for path in sorted(folder.glob(pattern)):
            if path.is_symlink() or not path.is_file():
                self.left_out[UNREADABLE] += 1
                continue
            text = read_text(path, self.left_out)
            if text is not None:
                found[path.relative_to(folder).as_posix()] = text
        return found

    def _deprecated(self) -> set[str]:
        path = self.path / "config.json"
        if not path.is_file():
            return set()
        exercises = json.loads(path.read_text(encoding="utf-8")).get("exercises", {})
        both = [*exercises.get("practice", []), *exercises.get("concept", [])]
        return {each["slug"] for each in both if each.get("status") == "deprecated"}

    def check(self) -> None:
        if not self.path.is_file():
            check_folder("exercism", self.path)
        if next(self.read(), None) is None:
            raise ValueError(
                f"exercism must be a checkout with {EXERCISES}/practice, got {self.path} without exercises"
            )

    def identity(self) -> str:
        folder = self.path / EXERCISES
        return files_identity([folder if folder.is_dir() else self.path], str(self.solutions))
