"""Completions of the compile rate's first problems: the references, one that does not compile, one without an end."""

from evaluation.suites.compile_rate import CompileRate, CompileRateProblem

WRONG = {"is_prime": "    number\n}", "fibonacci": "    let mut numbers = vec!["}


def fixed_completions(count: int) -> dict[str, str]:
    """What a model writes after each prompt, by the problem's name; some texts go on after the function."""
    problems = [each for each in CompileRate.read().problems[:count] if isinstance(each, CompileRateProblem)]
    more = "\nfn more() {}\n"
    return {each.name: WRONG.get(each.name, f"{each.reference}{more}") for each in problems}
