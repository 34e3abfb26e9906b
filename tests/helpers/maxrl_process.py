"""
For test_maxrl_processes.py: reinforcement learning of a tiny model on three tasks, judged by the compiler, in this
process or in one of its own.

    maxrl_process.py OUTPUT_DIR SETTINGS
"""

import json
import sys
from contextlib import ExitStack, closing
from pathlib import Path

import torch
from datasets import Dataset
from transformers import TrainerCallback, set_seed

from evaluation.rust.judging import LocalJudge
from tests.helpers.reinforcement import arguments, looped
from trainers.data.tokenizer import train_tokenizer
from trainers.pretraining import last_complete_checkpoint
from trainers.reinforcement.maxrl import MaxRLTrainer
from trainers.reinforcement.rewards import RustReward

ROWS = [
    {"prompt": f"fn f{number}(x: u8) -> u8 {{", "signature": f"fn f{number}(x: u8) -> u8;", "checker": checker}
    for number, checker in enumerate(["check!(f0(0) < 200);", "check!(f1(3) == 3);", "check!(f2(9) < 100);"])
]


class Recorded(MaxRLTrainer):
    """Trainer that writes every process's advantages of every batch."""

    def _generate_and_score_completions(self, inputs):
        output = super()._generate_and_score_completions(inputs)
        found = {"success": self._success.tolist(), "advantages": output["advantages"].tolist()}
        with (Path(self.args.output_dir) / f"process_{self.accelerator.process_index}.jsonl").open("a") as file:
            file.write(json.dumps(found) + "\n")
        return output


class BreakCompiler(TrainerCallback):
    """Callback that removes the compiler before a step."""

    def __init__(self, reward: RustReward, step: int):
        assert isinstance(reward.judge, LocalJudge)
        self.toolchain = reward.judge.verifier.resources.toolchain
        self.rustc = self.toolchain.rustc
        self.step = step

    def on_step_begin(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            object.__setattr__(self.toolchain, "rustc", "/nowhere/rustc")

    def mend(self):
        """Put the compiler back, which all verifiers of a process share."""
        object.__setattr__(self.toolchain, "rustc", self.rustc)


def train(output_dir: Path, settings: dict, resume: bool = False, break_compiler_at: int | None = None) -> None:
    """Train and write the weights; without a compiler from step `break_compiler_at` on."""
    torch.set_num_threads(1)
    set_seed(0)
    bodies = ["x }", " x}", "0}", "{x}}", "1 }", "x+1}", "if x > 1 { x } else { 0 }}"]
    tokenizer = train_tokenizer([row["prompt"] + body for row in ROWS for body in bodies], 280, 256)
    model = looped(tokenizer, activation_bits=8)
    settings = dict(save_strategy="steps", save_steps=2, stop_at_function_end=True) | settings
    with closing(RustReward(workers=1)) as reward, ExitStack() as stack:
        trainer = Recorded(
            model=model,
            reward_funcs=[reward],
            args=arguments(output_dir, **settings),
            train_dataset=Dataset.from_list(ROWS),
            processing_class=tokenizer,
        )
        # So that some functions end, and some of those are right.
        likely = [tokenizer(text)["input_ids"][-1] for text in ("}", "x")]
        trainer.generation_config.sequence_bias = [[[token], 6.0] for token in likely]
        if break_compiler_at is not None:
            breaking = BreakCompiler(reward, break_compiler_at)
            stack.callback(breaking.mend)
            trainer.add_callback(breaking)
        checkpoint = last_complete_checkpoint(output_dir) if resume else None
        trainer.train(resume_from_checkpoint=None if checkpoint is None else str(checkpoint))
        print(f"processes {trainer.args.world_size}")
        torch.save(trainer.policy.state_dict(), output_dir / f"weights_{trainer.accelerator.process_index}.pt")


def main() -> None:
    output_dir, settings = sys.argv[1:]
    train(Path(output_dir), json.loads(settings))


if __name__ == "__main__":
    main()
