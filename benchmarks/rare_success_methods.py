"""The methods that `rare_success.py` compares; without PyTorch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Method:
    """
    One way to train on the outcome of samples.

    Attributes:
        name: Name in files and on the command line.
        title: Name in tables.
        estimator: `estimator` of `MaxRLConfig`.
        curriculum: Whether prompts are sampled by how often they were solved.
        num_generations: Completions per prompt; the number of prompts per step follows.
        loop_credit: `loop_credit` of `MaxRLConfig`.
        all_families: Whether to train, and to measure, on the tasks of all families instead of the rare ones.
    """

    name: str
    title: str
    estimator: str
    curriculum: bool = True
    num_generations: int = 16
    loop_credit: str = "final"
    all_families: bool = False


METHODS = {
    method.name: method
    for method in (
        Method("maxrl", "MaxRL", "maxrl"),
        Method("grpo", "GRPO", "grpo"),
        Method("rloo", "RLOO", "rloo"),
        Method("maxrl_unbiased", "MaxRL, unbiased", "maxrl_unbiased"),
        Method("maxrl_even", "MaxRL, no curriculum", "maxrl", curriculum=False),
        Method("grpo_even", "GRPO, no curriculum", "grpo", curriculum=False),
        Method("maxrl_64", "MaxRL, groups of 64", "maxrl", num_generations=64),
        Method("grpo_64", "GRPO, groups of 64", "grpo", num_generations=64),
        Method("maxrl_uniform", "MaxRL, all loops", "maxrl", loop_credit="uniform"),
        Method("maxrl_exit_pdf", "MaxRL, loops by exit", "maxrl", loop_credit="exit_pdf"),
        Method("maxrl_all", "MaxRL on all families", "maxrl", all_families=True),
    )
}
