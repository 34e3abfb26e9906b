"""pass@k for Rust, as a metric of `evaluate`; see `README.md` beside it."""

from collections.abc import Sequence
from typing import Literal

import datasets
import evaluate

from evaluation.pass_at_k import pass_at_k
from evaluation.rust import RustVerifier
from evaluation.rust.syntax.answers import extract_rust
from evaluation.rust.syntax.merging import merged_program
from evaluation.scoring import verify_samples

# Stands for an answer without a finished program; it does not compile.
UNFINISHED = "fn unfinished() {"
DESCRIPTION = """
Compiles each program with its tests, runs it in a sandbox, and estimates the probability that one of k samples passes.
Running programs needs the environment variable HF_ALLOW_CODE_EVAL=1.
"""
INPUTS = """
Args:
    predictions: for each problem a list of whole programs, or of answers in mode "chat".
    references: for each problem the text that is appended to its programs: `#[test]` functions or a `fn main`.
    k: values of k; none may be larger than the number of programs of a problem.
    num_workers: number of compilers that run at the same time; None for one per processor.
    timeout: seconds of processor time for each program.
    edition: Rust edition.
    mode: "base" if predictions are programs; "chat" if they are a chat model's answers, which contain programs.
    prompts: in mode "chat", for each problem the text that ends with the open function. An answer may then give only
        the body, and omit imports of the prompt. Without prompts an answer must contain the whole program.
Returns:
    pass_at_k: `pass@k` for each k, the mean over the problems.
    results: for each problem a list with `passed`, `status` and the test counts of each program. `status` is that of
        `evaluation.rust.Verdict`, which tells failed tests from timeouts and from programs that do not compile.
"""


@evaluate.utils.file_utils.add_start_docstrings(DESCRIPTION, INPUTS)
class RustPassAtK(evaluate.Metric):
    """pass@k for Rust."""

    def _info(self):
        features = {
            "predictions": datasets.Sequence(datasets.Value("string")),
            "references": datasets.Value("string"),
        }
        return evaluate.MetricInfo(
            description=DESCRIPTION,
            citation="",
            inputs_description=INPUTS,
            features=datasets.Features(features),
        )

    def _compute(
        self,
        predictions: list[list[str]],
        references: list[str],
        k: Sequence[int] = (1,),
        num_workers: int | None = None,
        timeout: float = 3.0,
        edition: str = "2021",
        mode: Literal["base", "chat"] = "base",
        prompts: Sequence[str] | None = None,
    ) -> tuple[dict[str, float], list[list[dict]]]:
        for index, programs in enumerate(predictions):
            for size in k:
                if not 1 <= size <= len(programs):
                    raise ValueError(
                        f"k must be from 1 to the number of programs of every problem, got {size} for problem {index} "
                        f"with {len(programs)}"
                    )
        if mode not in ("base", "chat"):
            raise ValueError(f"mode must be base or chat, got {mode!r}")
        if prompts is not None and (mode == "base" or len(prompts) != len(predictions)):
            raise ValueError(
                f"prompts must be one for each of the {len(predictions)} problems, in mode chat, got {len(prompts)} "
                f"in mode {mode}"
            )
        if mode == "chat":
            rows = zip(predictions, references, prompts or [None] * len(predictions), strict=True)
            predictions = [[program_of(answer, test, prompt) for answer in each] for each, test, prompt in rows]
        with RustVerifier(edition, num_workers, run_timeout=timeout) as verifier:
            verdicts = verify_samples(verifier, predictions, references)
        scores = {
            f"pass@{size}": sum(pass_at_k(len(each), sum(verdict.ok for verdict in each), size) for each in verdicts)
            / len(verdicts)
            for size in k
        }
        results = [
            [
                {
                    "passed": verdict.ok,
                    "status": verdict.status,
                    "tests_passed": verdict.tests_passed,
                    "tests_total": verdict.tests_total,
                }
                for verdict in each
            ]
            for each in verdicts
        ]
        return scores, results


def program_of(answer: str, test: str, prompt: str | None) -> str:
    """Return the program in a chat model's answer to a prompt."""
    code = extract_rust(answer)
    if code is None:
        return UNFINISHED
    return code if prompt is None else merged_program(prompt, code, test)
