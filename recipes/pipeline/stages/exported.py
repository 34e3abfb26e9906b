"""The result of an export."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from recipes.pipeline.stages.stage import Stage, StageResult

AUTO = "auto"
"""Value of `export.gguf` with which the export chooses the type by the model."""


@dataclass(frozen=True, kw_only=True)
class Exported(StageResult):
    """
    Exported files.

    Attributes:
        stage: Stage whose model was exported.
        file_sizes: Bytes by name; packed weights only of a model with ternary layers, a GGUF file only when asked for.
        agreement: Comparison of llama.cpp, running the GGUF file, with the model; None without a file.
        problem: Reason why something could not be exported; the training is done and saved all the same.
    """

    stage: str
    file_sizes: Mapping[str, int] = field(default_factory=dict)
    agreement: Mapping[str, Any] | None = None
    problem: str | None = None

    def rows(self, stage: Stage) -> Iterator[tuple[str, str]]:
        for name, size in self.file_sizes.items():
            yield f"exported: {name}", f"{size / 1e6:,.3f} MB"
        if self.problem is not None:
            yield "not exported", self.problem
        if self.agreement is not None:
            yield "llama.cpp and the model", _agreement_words(self.agreement)

    def add_to(self, report: dict[str, Any], stage: Stage) -> None:
        report["export"] = {
            "file_sizes": dict(self.file_sizes),
            "agreement": self.agreement,
            "problem": self.problem,
        }


def _agreement_words(agreement: Mapping[str, Any]) -> str:
    texts = f"{agreement['texts'] - len(agreement['wrong_texts'])} of {agreement['texts']} texts have equal token ids"
    top1 = f"likeliest token equal at {agreement['top1']:.1%} of {agreement['positions']}"
    return "\n".join([*(agreement["problems"] or ["agree"]), f"KL {agreement['kl']:.1e} nats, {top1}", texts])
