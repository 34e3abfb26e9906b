"""The claims: what each says, where it is from, and which trainings decide about it."""

from dataclasses import dataclass

from claims.settings import BASE


@dataclass(frozen=True)
class Comparison:
    """
    Two trainings, of which the claim says that the first has the lower loss, or no higher one.

    Attributes:
        ours, other: Names of settings. Where several are given, the one with the lowest mean loss counts.
        tolerance: Nats per token by which ours may be worse.
    """

    ours: tuple[str, ...]
    other: tuple[str, ...]
    tolerance: float = 0.0


@dataclass(frozen=True)
class Claim:
    """
    A claim that trainings of this size can speak about.

    Attributes:
        name: Name on the command line.
        text: What is claimed.
        source: Where it is claimed.
        comparisons: The first decides about the claim, the others tell more.
    """

    name: str
    text: str
    source: str
    comparisons: tuple[Comparison, ...]

    @property
    def names(self) -> list[str]:
        """Its settings, each once."""
        return list(dict.fromkeys(name for each in self.comparisons for name in (*each.ours, *each.other)))


@dataclass(frozen=True)
class Reported:
    """
    A number that others report, and that models of this size cannot show.

    Attributes:
        number, text: The number, and what it is said to be.
        known: What is known of its origin.
        here: What this project measures of it, with the page.
    """

    number: str
    text: str
    known: str
    here: str


@dataclass(frozen=True)
class Elsewhere:
    """
    A claim that another page speaks about, or that was not tested.

    Attributes:
        text: What is claimed.
        source: Where it is claimed.
        where: The page, or why there is none.
    """

    text: str
    source: str
    where: str


def _pair(ours: str, other: str, tolerance: float = 0.0) -> Comparison:
    return Comparison((ours,), (other,), tolerance)


OURO = "Ouro (arXiv 2510.25741)"
CLAIMS = {
    claim.name: claim
    for claim in (
        Claim(
            "loops_at_equal_parameters",
            "At equal parameters, more loops predict better.",
            OURO,
            (
                _pair(BASE, "blocks_2_loops_1"),
                _pair("blocks_2_loops_2", "blocks_2_loops_1"),
                _pair(BASE, "blocks_2_loops_2"),
                _pair("blocks_2_loops_4_streams_2", "blocks_2_loops_1_streams_2"),
                _pair("blocks_2_loops_2_streams_2", "blocks_2_loops_1_streams_2"),
            ),
        ),
        Claim(
            "parameter_efficiency",
            "A looped model is as good as one with two to three times its parameters: here 2 blocks with 4 loops "
            "against 4 blocks, within 0.01 nats.",
            OURO,
            (
                _pair(BASE, "blocks_4_loops_1", 0.01),
                _pair("blocks_2_loops_2", "blocks_4_loops_1", 0.01),
                _pair(BASE, "blocks_8_loops_1", 0.01),
            ),
        ),
        Claim(
            "loops_at_equal_flops",
            "At equal FLOPs of training, loops are worth more than further steps of a model without loops.",
            "Huginn (arXiv 2502.05171), Ouro",
            (
                _pair(BASE, "blocks_2_loops_1_longer_4"),
                _pair("blocks_2_loops_2", "blocks_2_loops_1_longer_2"),
                _pair("blocks_2_loops_4_streams_2", "blocks_2_loops_1_longer_4_streams_2"),
            ),
        ),
        Claim(
            "prelude_core_coda",
            "With blocks before and after the loop a model of equal size and depth predicts better than with all of "
            "its blocks in the loop.",
            "Huginn (arXiv 2502.05171)",
            (_pair("prelude_core_coda", "whole_stack"),),
        ),
        Claim(
            "ternary",
            "Ternary weights predict as well as float weights, within 0.05 nats.",
            "BitNet b1.58 (arXiv 2402.17764)",
            (
                _pair(BASE, "float", 0.05),
                _pair("float_activations", "float", 0.05),
                _pair(BASE, "float_activations", 0.05),
            ),
        ),
        Claim(
            "residual_streams",
            "Several residual streams predict better than one.",
            "mHC-lite (arXiv 2601.05732)",
            (_pair("blocks_2_loops_4_streams_2", BASE), _pair("streams_4", BASE)),
        ),
        Claim(
            "entropy",
            "The entropy of the exit distribution as a part of the loss predicts no worse after the last loop.",
            OURO,
            (_pair(BASE, "entropy_0", 0.01), _pair("entropy_0.5", "entropy_0", 0.01), _pair(BASE, "final_loss", 0.01)),
        ),
        Claim(
            "muon_lion",
            "Muon and Lion predict better than AdamW after equally many steps, each with its best learning rate.",
            "Muon (arXiv 2502.16982)",
            (
                Comparison(
                    ("muon_lion_0.01_0.0005", "muon_lion_0.01_0.002", "muon_lion_0.02_0.0005", "muon_lion_0.02_0.002"),
                    ("adamw_0.0005", BASE, "adamw_0.002", "adamw_0.004", "adamw_0.008"),
                ),
            ),
        ),
        Claim(
            "verified",
            "Programs that the compiler accepts are better training data than all programs, measured on accepted "
            "ones. Here they are examples of documentation; of the others, some show errors on purpose.",
            "Strand-Rust-Coder",
            (_pair("accepted", "unfiltered"),),
        ),
        Claim(
            "variants",
            "A small number of programs with rewritten variants of them is better training data than the programs "
            "alone, which are repeated for equally many steps.",
            "this project",
            (_pair("few_and_variants", "few"), _pair("few_and_variants", "accepted", 0.05)),
        ),
    )
}

REPORTED = (
    Reported(
        "7B",
        "parameters of a model for this recipe",
        "The largest configuration of the design that this project follows has 1.3 billion.",
        "Parameters are counted in [plan.md](plan.md).",
    ),
    Reported(
        "94.3 %",
        "rate at which generated Rust compiles",
        "Reported by Strand-Rust-Coder of its training data after filtering, not of a model.",
        "Compile rates of models: [model_results.md](model_results.md).",
    ),
    Reported(
        "72.5 %",
        "pass@1 on HumanEval-Rust",
        "No experiment is known that shows it.",
        "HumanEval-Rust of models: [model_results.md](model_results.md).",
    ),
    Reported(
        "89.7 %",
        "semantic correctness",
        "No experiment and no definition is known.",
        "The suite `semantic`: [model_results.md](model_results.md).",
    ),
    Reported(
        "20x",
        "sample efficiency of MaxRL",
        "MaxRL's authors report up to 19.2 times fewer samples at test time for the pass rate of GRPO, for models of "
        "1.7 and 4 billion parameters; not fewer samples in training.",
        "Samples for an equal pass rate: [maxrl.md](maxrl.md).",
    ),
)

ELSEWHERE = (
    Elsewhere(
        "MaxRL learns more than GRPO and RLOO from rare success.",
        "MaxRL (arXiv 2602.02710)",
        "[maxrl.md](maxrl.md); from frequent success: [maxrl_frequent_success.md](maxrl_frequent_success.md)",
    ),
    Elsewhere(
        "A gate that is trained alone chooses the loop after which a token leaves better than the exit distribution "
        "of pretraining.",
        "Ouro (arXiv 2510.25741)",
        "[exit_gate.md](exit_gate.md)",
    ),
    Elsewhere(
        "Early exit saves time at an equal loss.",
        "Ouro (arXiv 2510.25741)",
        "[early_exit_speed.md](early_exit_speed.md)",
    ),
    Elsewhere(
        "The keys and values of the last loop alone suffice while decoding.",
        "Ouro (arXiv 2510.25741)",
        "[early_exit_speed.md](early_exit_speed.md), rows with `kv_reuse` last",
    ),
    Elsewhere(
        "A dense model is a better start of a looped ternary one than random weights.",
        "this project",
        "[warm_start.md](warm_start.md)",
    ),
)
