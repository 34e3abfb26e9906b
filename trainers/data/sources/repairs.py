"""Pairs of a rejected and a fixed program, in the format in which a model is asked to correct its own attempt."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from evaluation.suites.repair_format import MAX_ATTEMPT, compiler_message, second_prompt
from trainers.data.sources.document import FILE, UNKNOWN_LICENSE, Document
from trainers.data.sources.json_lines import json_lines
from trainers.data.sources.source import Source, check_folder, files_identity

NOT_FIXED = "without a version that compiles"
NO_MESSAGE = "without a message of the compiler"
LONG_ATTEMPT = f"of over {MAX_ATTEMPT:,} characters"
NEEDED = ("code", "fixed_code", "diagnostics")


class RepairSource(Source):
    """
    The rejected programs of a data preparation (its folder `negatives`) that have a version that compiles.

    Each document is the second turn of the suite `repair`: the attempt and the compiler's message in a comment, and
    then the fixed program. The whole is a Rust file that compiles, and is trained on as text like every other one.

    Args:
        folder: The folder `negatives`, or the folder of the preparation around it.
    """

    kind = "repairs"

    def __init__(self, folder: Path):
        within = folder / "negatives"
        self.folder = within if within.is_dir() else folder
        super().__init__("repairs")

    def files(self) -> list[Path]:
        """Return the files of rejected programs, sorted."""
        return sorted(self.folder.glob("*.jsonl"))

    def _documents(self) -> Iterator[Document]:
        for path in self.files():
            for number, row in enumerate(json_lines(path), 1):
                errors = [each["rendered"] for each in row["diagnostics"]]
                reason = left_out_because(row["code"], row["fixed_code"], errors)
                if reason is not None:
                    self.left_out[reason] += 1
                    continue
                text = second_prompt("", row["code"], compiler_message(errors)) + row["fixed_code"]
                place, license = f"{path.name}#{number}", row.get("license") or UNKNOWN_LICENSE
                yield Document.of(self.name, place, FILE, license, text, edition=row.get("edition"))

    def check(self) -> None:
        check_folder("repairs", self.folder)
        files = self.files()
        missing = [name for name in NEEDED if name not in (next(json_lines(files[0]), {}) if files else {})]
        if missing:
            raise ValueError(
                "repairs must be the folder of a data preparation, whose folder negatives has files of JSON lines "
                f"with {', '.join(NEEDED)}, got {self.folder} without {', '.join(missing)}"
            )

    def identity(self) -> str:
        return files_identity(self.files())


def left_out_because(code: str, fixed_code: str | None, errors: Sequence[str]) -> str | None:
    """Return the reason why a rejected program makes no document, or None."""
    if fixed_code is None:
        return NOT_FIXED
    if not compiler_message(errors):
        return NO_MESSAGE
    return LONG_ATTEMPT if len(code) > MAX_ATTEMPT else None
