"""Speed and memory are measured for every batch and depth; what cannot be measured is refused before any work."""

from dataclasses import replace

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from evaluation.__main__ import main
from evaluation.results import Results
from evaluation.suites.performance import Workload, measure, speeds_to_measure
from model_cards.card import results as card_results
from tests.helpers.tiny import tiny_model

SMALL = Workload(batch_sizes=(1, 2), prompt_tokens=5, new_tokens=3, rounds=2, exit_thresholds=())


def test_every_batch_and_depth_has_a_value_for_every_round():
    results = measure(tiny_model(), SMALL)
    speeds = results.details["speeds"]
    assert [(each["batch_size"], each["num_loops"]) for each in speeds] == [(b, n) for b in (1, 2) for n in (1, 2, 3)]
    for each in speeds:
        for kind in ("prompt_tokens_per_second", "decode_tokens_per_second"):
            assert len(each[kind]) == 2 and min(each[kind]) > 0
    assert results.metrics["decode tokens/s, batch 2, 3 loops"].value == pytest.approx(
        sum(speeds[-1]["decode_tokens_per_second"]) / 2
    )


def test_the_peak_is_of_one_setting_and_not_of_what_came_before():
    workload = Workload((1,), 5, 3, 1, (1,), ())
    (speed,) = measure(tiny_model(), workload).details["speeds"]
    if speed["peak_memory_bytes"] is None:
        pytest.skip("this system does not tell a process its peak")
    torch.ones(400_000_000, dtype=torch.uint8)
    (again,) = measure(tiny_model(), workload).details["speeds"]
    assert again["peak_memory_bytes"] < speed["peak_memory_bytes"] + 200_000_000


def test_a_model_that_would_stop_at_once_writes_all_tokens():
    stopping = tiny_model()
    stopping.generation_config.eos_token_id = list(range(stopping.config.vocab_size - 1))
    assert measure(stopping, SMALL).metrics


def test_other_models_have_one_depth():
    shape = dict(vocab_size=64, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    llama = LlamaForCausalLM(LlamaConfig(**shape))
    assert list(measure(llama, replace(SMALL, exit_thresholds=None)).metrics)[0] == "prompt tokens/s, batch 1"
    with pytest.raises(ValueError, match="num_loops needs a LoopLM, got a model of type llama"):
        speeds_to_measure(llama, Workload(num_loops=(2,)))
    with pytest.raises(ValueError, match="exit_thresholds needs a LoopLM, got a model of type llama"):
        speeds_to_measure(llama, Workload(exit_thresholds=(0.5,)))


def test_a_threshold_has_the_loops_of_its_tokens_whatever_the_configuration_says():
    leaving = tiny_model(exit_threshold=0.3)
    workload = Workload((2,), 5, 20, 1, None, (0.5, 0.95))
    measured = measure(leaving, workload)
    speeds = measured.details["speeds"]
    assert [(each["num_loops"], each["exit_threshold"]) for each in speeds] == [
        (1, None),
        (2, None),
        (3, None),
        (3, 0.5),
        (3, 0.95),
    ]
    assert [each["loops"] for each in card_results.speeds([measured])][2:4] == [
        3,
        f"{speeds[3]['mean_loops']:.2f} (exit at 0.5)",
    ]
    loops = [each["mean_loops"] for each in speeds]
    assert loops[:3] == [1, 2, 3] and 1 < loops[3] < loops[4] < 3
    assert [
        each.exit_threshold for each in speeds_to_measure(leaving, replace(workload, exit_thresholds=None))[3:]
    ] == [
        0.5,
        0.8,
        0.95,
    ]


@pytest.mark.parametrize(
    "change, message",
    [
        ({"batch_sizes": (1, 0)}, r"batch_sizes must be numbers of at least 1, got \[1, 0\]"),
        ({"new_tokens": 1}, "new_tokens must be at least 2, got 1"),
        ({"prompt_tokens": 0}, "prompt_tokens must be at least 1, got 0"),
        ({"exit_thresholds": (0.5, 1.0)}, r"exit_thresholds must be above 0 and below 1, got \[0.5, 1.0\]"),
        ({"prompt_tokens": 9_999}, "prompt_tokens and new_tokens must be at most the model's .* positions, got 10031"),
    ],
)
def test_what_cannot_be_measured_is_refused(change, message):
    with pytest.raises(ValueError, match=message):
        speeds_to_measure(tiny_model(), Workload(**change))


def test_the_command_prints_and_writes_them(tmp_path, model, tokenizer, capsys):
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    arguments = ["run", "--model", str(tmp_path / "model"), "--suite", "performance", "--output-dir", str(tmp_path)]
    small = ["--batch-sizes", "2", "--prompt-tokens", "4", "--new-tokens", "2", "--rounds", "1", "--num-loops", "2"]
    assert main([*arguments, *small, "--exit-threshold", "0.8"]) == 0
    assert "decode tokens/s" in capsys.readouterr().out
    results = Results.read(tmp_path / "performance_benchmarks.json")
    assert [(each["num_loops"], each["exit_threshold"]) for each in results.details["speeds"]] == [(2, None), (2, 0.8)]
    assert (tmp_path / "exit_speed.png").stat().st_size > 0
    assert main([*arguments, "--prompt-tokens", "9999"]) == 2
