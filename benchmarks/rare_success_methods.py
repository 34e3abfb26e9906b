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
        pass_fraction: Whether the reward is the share of the hidden tests that pass, instead of 1 for all of them.
        curriculum: Whether prompts are sampled by how often they were solved.
        num_generations: Completions per prompt; the number of prompts per step follows.
        loop_credit: `loop_credit` of `MaxRLConfig`.
        all_families: Whether to train, and to measure, on the tasks of all families instead of the rare ones.
    """

    name: str
    title: str
    estimator: str
    pass_fraction: bool = False
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
        Method("grpo_pass_fraction", "GRPO, share of tests", "grpo", pass_fraction=True),
        Method("sft", "SFT on own successes", "sft"),
        Method("maxrl_even", "MaxRL, no curriculum", "maxrl", curriculum=False),
        Method("grpo_even", "GRPO, no curriculum", "grpo", curriculum=False),
        Method("maxrl_64", "MaxRL, groups of 64", "maxrl", num_generations=64),
        Method("grpo_64", "GRPO, groups of 64", "grpo", num_generations=64),
        Method("maxrl_uniform", "MaxRL, all loops", "maxrl", loop_credit="uniform"),
        Method("maxrl_exit_pdf", "MaxRL, loops by exit", "maxrl", loop_credit="exit_pdf"),
        Method("maxrl_all", "MaxRL on all families", "maxrl", all_families=True),
    )
}
