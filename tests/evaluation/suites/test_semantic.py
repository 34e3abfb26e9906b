"""A pair counts for the program that compiles by its probability per token; intervals are over the templates."""

import random
import re
import time

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from evaluation.__main__ import main
from evaluation.generation_settings import GenerationSettings
from evaluation.likelihood import Likelihood, text_tokens
from evaluation.results import Results
from evaluation.run import evaluate_model
from evaluation.settings import EvaluationSettings
from evaluation.suites.registry import suite_of
from evaluation.suites.semantic.pairs import CATEGORIES, read_pairs
from evaluation.suites.semantic.suite import Semantic, differing_tokens, results_of_pairs, spread
from evaluation.suites.suite import SuiteRun
from model_cards.card.results import benchmark_rows
from tests.helpers.gguf_models import TOKENIZER
from tests.helpers.tiny import tiny_model

PAIRS = read_pairs()
FEW = EvaluationSettings(limit=10)


def small_model(positions=512):
    return tiny_model(vocab_size=448, max_position_embeddings=positions, num_loops=2)


@pytest.fixture(scope="module")
def model():
    return small_model()


def scored(nats, tokens=10):
    return Likelihood(nats, (nats,), tokens, 1.0)


def results(accepted, rejected):
    return results_of_pairs(PAIRS, [scored(*accepted)] * len(PAIRS), [scored(*rejected)] * len(PAIRS))


def test_a_random_scorer_is_at_one_half_within_its_interval():
    inside = 0
    for seed in range(40):
        generator = random.Random(seed)
        first, second = ([scored(generator.gauss(-9, 1)) for _ in PAIRS] for _ in range(2))
        accuracy = results_of_pairs(PAIRS, first, second).metrics["accuracy"]
        assert accuracy.low is not None and accuracy.high is not None
        inside += accuracy.low <= 0.5 <= accuracy.high
    assert inside >= 36


@pytest.mark.parametrize(("accepted", "expected"), [(-8, 1), (-9, 0.5), (-10, 0)])
def test_a_scorer_that_is_always_right_or_wrong_or_undecided(accepted, expected):
    found = results((accepted,), (-9,))
    assert found.metrics.keys() == {"accuracy", *CATEGORIES, "accuracy_total"}
    assert {each.value for each in found.metrics.values()} == {expected}
    assert found.metrics["accuracy"].low < found.metrics["accuracy"].high


def test_the_accuracy_is_that_of_the_probability_per_token():
    found = results((-11, 12), (-10, 10))
    assert (found.metrics["accuracy"].value, found.metrics["accuracy_total"].value) == (1, 0)


def test_templates_count_alike_however_many_pairs_they_have():
    few, many = PAIRS[0], [pair for pair in PAIRS if pair.template.endswith("/partial_move")]
    scores = [scored(-9)] * (1 + len(many))
    found = results_of_pairs([few, *many], [scored(-8), *scores[1:]], scores)
    assert found.per_problem["accuracy"] == {few.template: 1.0, many[0].template: 0.5}
    assert found.metrics["accuracy"].value == 0.75 and "trait_bounds" not in found.metrics


def test_the_first_pairs_are_of_all_categories_and_of_many_templates():
    first = spread(PAIRS)[:40]
    assert {pair.category for pair in first[:5]} == set(CATEGORIES)
    assert len({pair.template for pair in first}) >= 20
    assert sorted(pair.name for pair in spread(PAIRS)) == sorted(pair.name for pair in PAIRS)


def test_a_model_that_knows_nothing_is_undecided_after_every_loop(model, tmp_path):
    blind = small_model()
    blind.model.norm.weight.data.zero_()
    (found,) = evaluate_model(blind, "semantic", tmp_path, FEW, tokenizer=TOKENIZER)
    for name in ("accuracy", "accuracy_loop_1", "accuracy_loop_2", *CATEGORIES):
        assert found.metrics[name].value == 0.5
    assert found.details["last_loop_minus_loop_1"]["value"] == 0


def test_results_tell_every_loop_and_are_shown_in_tables_plots_and_cards(model, tmp_path, capsys):
    model.save_pretrained(tmp_path / "model"), TOKENIZER.save_pretrained(tmp_path / "model")
    options = ["--suite", "semantic", "--limit", "10", "--output-dir", str(tmp_path / "out")]
    assert main(["run", "--model", str(tmp_path / "model"), *options]) == 0
    shown = capsys.readouterr().out
    assert "accuracy_loop_2" in shown and "last loop minus loop 1" in shown
    assert re.search(r"pairs\W+10\W", shown) and (tmp_path / "out" / "semantic_by_loop.png").stat().st_size > 5000
    found = Results.read(tmp_path / "out" / "semantic_correctness.json")
    nats, tokens = found.details["pairs"][spread(PAIRS)[0].name].values()
    assert max(nats) < 0 < min(tokens) and len(found.details["pairs"]) == 10
    assert [len(each) for each in found.details["by_loop"].values()] == [2] * 6
    suite = suite_of("semantic_correctness")
    assert list(suite.index_metrics(found)) == ["accuracy"]
    assert suite.how_measured(found) == "10 pairs, log probability per token, 2 loops"
    row = next(row for row in benchmark_rows([found]) if row.benchmark == suite.title)
    assert row.value.endswith("%") and row.measured_on == "5 templates"


def test_a_model_without_loops_has_one_accuracy_and_no_plot(tmp_path):
    sizes = LlamaConfig(
        vocab_size=448, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2
    )
    (found,) = evaluate_model(LlamaForCausalLM(sizes), "semantic", tmp_path, FEW, tokenizer=TOKENIZER)
    assert found.metrics.keys() == {"accuracy", *CATEGORIES, "accuracy_total"}
    assert Semantic.plots(found, tmp_path) == [] and list(tmp_path.glob("*.png")) == []
    assert Semantic.how_measured(found) == "10 pairs, log probability per token"


def test_depth_is_a_setting(model, tmp_path):
    first, early = (
        evaluate_model(model, "semantic", tmp_path / name, settings, tokenizer=TOKENIZER)[0]
        for name, settings in (
            ("first", EvaluationSettings(GenerationSettings(exit_at_loop=1), limit=4)),
            ("early", EvaluationSettings(GenerationSettings(exit_threshold=0.4), limit=4)),
        )
    )
    assert "accuracy_loop_2" not in first.metrics and first.details["loops"] == 1
    assert 1 <= early.details["loops"] <= 2 and "exit threshold 0.4" in Semantic.how_measured(early)


def test_pairs_longer_than_the_context_are_left_out_and_named(tmp_path):
    lengths = [len(text_tokens(TOKENIZER, max(pair.valid, pair.invalid, key=len))) for pair in PAIRS[:6]]
    short = small_model(sorted(lengths)[2])
    (found,) = evaluate_model(short, [Semantic(PAIRS[:6])], tmp_path, tokenizer=TOKENIZER)
    left_out = found.details["left_out"]
    assert 1 <= len(left_out) <= 3 and found.details["num_pairs"] == 6 - len(left_out)
    with pytest.raises(ValueError, match="semantic needs a context as long as a program, got 16 positions"):
        Semantic(PAIRS).check_model(small_model(16), TOKENIZER)


def test_in_training_it_measures_what_the_time_allows(model, tmp_path, monkeypatch):
    monkeypatch.setattr("evaluation.suites.semantic.suite.TRAINING_BATCH", 4)
    suite = Semantic(spread(PAIRS)[:7])
    run = SuiteRun(model, TOKENIZER, EvaluationSettings(), tmp_path)
    assert suite.measure_in_training(run, deadline=time.monotonic()) == {}
    clock = iter((0, 2))
    monkeypatch.setattr("evaluation.suites.semantic.suite.time.monotonic", lambda: next(clock))
    found = suite.measure_in_training(run, deadline=1)
    assert found["semantic_correctness_of"] == 4 and 0 <= found["semantic_correctness"] <= 1


def test_differing_tokens_are_counted_in_the_tokenizer_of_the_model():
    pair = next(pair for pair in PAIRS if pair.name.startswith("lifetime_elision/outlives.needed"))
    tokens = [TOKENIZER(program)["input_ids"] for program in (pair.valid, pair.invalid)]
    assert 1 <= differing_tokens(TOKENIZER, pair) <= len(tokens[0]) - len(tokens[1]) + 2
