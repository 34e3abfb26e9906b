"""Lines of metrics.jsonl as trainings write them."""

import json

TESTS_HOLD = "all hidden tests hold and costs $1 or $2"


def pretraining_lines(steps=8, loops=4, muon=False):
    """Metrics of a run whose deeper loops become better, with an evaluation behind every second log."""
    for step in range(10, 10 * steps + 1, 10):
        losses = {f"loop_{loop}_loss": 8 / step**0.3 - 0.01 * loop for loop in range(1, loops + 1)}
        line = {"step": step, "loss": losses["loop_1_loss"], "learning_rate": 1e-3, "tokens_seen": step * 1000}
        line |= losses | {f"exit_{loop}": 1 / loops for loop in range(1, loops + 1)}
        line |= {"mean_exit_loop": 2.5, "zero_weights": 0.3, "tokens_per_second": 900.0}
        yield line | ({"muon_lr": 0.02, "lion_lr": 1e-4} if muon else {})
        if step % 20 == 0:
            held_out = {f"eval_{name}": loss + 0.1 for name, loss in losses.items()}
            yield {"step": step, "eval_loss": held_out[f"eval_loop_{loops}_loss"]} | held_out


def maxrl_lines(success=TESTS_HOLD, steps=6):
    """Metrics of reinforcement learning that begins at a low success rate."""
    for step in range(1, steps + 1):
        rate = step / 100
        line = {"step": step, "loss": 0.1, "success_rate": rate, "entropy": 1.0, "step_time": 8.0}
        line |= {f"pass@{k}": 1 - (1 - rate) ** k for k in (1, 2, 16)}
        line |= {"groups/all_failed": 0.5, "groups/all_passed": 0.0, "reward_seconds": 2.0}
        line |= {"verdict/valid": rate, "verdict/refused": 1 - rate, "verdict/timeout": 0.0}
        yield (
            line
            | {"completions/mean_length": 20.0, "completions/max_length": 64}
            | ({"success_means": success} if success else {})
        )


def write_lines(folder, lines):
    """Write lines to metrics.jsonl as the trainers do."""
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
