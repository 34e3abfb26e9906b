"""Names of MaxRL's choices; without PyTorch, so that a command line can list them at once."""

from typing import Literal, get_args

Estimator = Literal["maxrl", "maxrl_unbiased", "maxrl_nobaseline", "grpo", "rloo", "sft"]
ESTIMATORS: tuple[str, ...] = get_args(Estimator)

LoopCredit = Literal["final", "uniform", "progressive", "exit_pdf"]
LOOP_CREDITS: tuple[str, ...] = get_args(LoopCredit)

RepairCredit = Literal["trajectory", "last_turn"]
REPAIR_CREDITS: tuple[str, ...] = get_args(RepairCredit)
