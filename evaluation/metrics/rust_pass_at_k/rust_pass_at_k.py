"""pass@k for Rust, as a metric of `evaluate`; see `README.md` beside it."""

from collections.abc import Sequence

import datasets
import evaluate

from evaluation.pass_at_k import pass_at_k
from evaluation.rust import RustVerifier
from evaluation.scoring import verify_samples

DESCRIPTION = """
Compiles each program with its test and runs it, sandboxed, and estimates the probability that one of k samples passes.
Running programs needs the environment variable HF_ALLOW_CODE_EVAL=1.
"""
INPUTS = """
Args:
    predictions: for each problem a list of whole programs.
    references: for each problem the text that is appended to each of its programs: `#[test]` functions or a `fn main`.
    k: numbers of samples to estimate for; none may be larger than the number of a problem's programs.
    num_workers: compilers at the same time; None for one per processor.
    timeout: seconds of processor time a program gets.
    edition: of the language.
Returns:
    pass_at_k: `pass@k` for each k, the mean over the problems.
    results: for each problem a list with `passed`, `status` and the test counts of each program. `status` is that of
        `evaluation.rust.Verdict`: a timeout is not a failed test, and neither is a code that does not compile.
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
    ) -> tuple[dict[str, float], list[list[dict]]]:
        for index, programs in enumerate(predictions):
            for size in k:
                if not 1 <= size <= len(programs):
                    raise ValueError(
                        f"k must be from 1 to the number of programs of every problem, got {size} for problem {index} "
                        f"with {len(programs)}"
                    )
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
