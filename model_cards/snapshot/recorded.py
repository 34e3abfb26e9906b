"""The code that a run's stages were trained with, kept in the run's folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from evaluation.complete_files import complete_file
from model_cards.checkpoint import read_json
from model_cards.snapshot.source import source_digest, write_archive

CODE, STAGES = "code", "stages.json"
"""Folder in that of a run, and the file in it that says which stage was trained with which code."""


@dataclass(frozen=True)
class RecordedCode:
    """
    Code that a run recorded.

    Attributes:
        folder: Folder of the archives.
        stages: By the name of a stage the digests of the code that it was trained with, in order; more than one if it
            was continued with other code.
    """

    folder: Path
    stages: Mapping[str, tuple[str, ...]]

    @classmethod
    def of_run(cls, run: Path) -> "RecordedCode | None":
        """
        Read what a run recorded; None for a run of a version that did not.

        Raises:
            ValueError: The record is damaged.
        """
        path = run / CODE / STAGES
        if not path.is_file():
            return None
        return cls(run / CODE, {name: tuple(digests) for name, digests in read_json(path).items()})

    def archive(self, stage: str) -> Path | None:
        """Return the archive of the code that a stage ended with; None if there is none."""
        digests = self.stages.get(stage)
        path = None if digests is None else self.folder / f"{digests[-1]}.zip"
        return path if path is not None and path.is_file() else None


def record_code(run: Path, stage: str) -> None:
    """Record in a run's folder that a stage is trained with the present code, with an archive of it."""
    folder, digest = run / CODE, source_digest()
    folder.mkdir(exist_ok=True)
    archive = folder / f"{digest}.zip"
    if not archive.exists():
        with complete_file(archive) as partial:
            write_archive(partial)
    recorded = RecordedCode.of_run(run)
    stages = {} if recorded is None else dict(recorded.stages)
    if (stages.get(stage) or ("",))[-1] != digest:
        stages[stage] = (*stages.get(stage, ()), digest)
        with complete_file(folder / STAGES) as partial:
            partial.write_text(json.dumps(stages, indent=1) + "\n")
