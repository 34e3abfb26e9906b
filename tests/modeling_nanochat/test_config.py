"""A configuration that cannot work is refused where it is written, with the field, the rule and the value."""

import json

import pytest

from modeling_nanochat import LoopLMConfig, LoopLMForCausalLM
from tests.helpers.tiny import tiny_config, tiny_model


@pytest.mark.parametrize(
    "field, value",
    [
        ("num_loops", "four"),
        ("num_loops", True),
        ("num_loops", 0),
        ("hidden_size", 32.0),
        ("vocab_size", -1),
        ("rms_norm_eps", 0),
        ("ternary", 1),
        ("attention_bias", True),
        ("attention_bias", "qk"),
        ("qk_norm", None),
        ("ternary_group_size", 0),
        ("ternary_group_size", -2),
        ("activation_bits", 4),
        ("activation_bits", 8.0),
        ("mhc_num_streams", 3),
        ("mhc_num_streams", True),
        ("exit_threshold", 0),
        ("exit_threshold", float("nan")),
        ("exit_at_loop", 0),
        ("exit_temperature", 0.0),
        ("exit_temperature", 1e-40),
        ("exit_entropy_weight", -0.1),
        ("exit_entropy_weight", float("inf")),
        ("loop_loss", "mean"),
        ("kv_reuse", None),
        ("num_prelude_layers", -1),
        ("num_coda_layers", True),
        ("loop_update", "none"),
        ("weight_format", "int4"),
        ("pad_token_id", -1),
        ("eos_token_id", []),
    ],
)
def test_a_wrong_value_is_refused_by_name_rule_and_value(field, value):
    with pytest.raises(ValueError) as error:
        tiny_config(**{field: value})
    assert f"LoopLMConfig.{field} must be" in str(error.value)
    assert repr(value) in str(error.value)
    with pytest.raises(ValueError, match=f"LoopLMConfig.{field} must be"):
        setattr(tiny_config(), field, value)


@pytest.mark.parametrize(
    "field, settings",
    [
        ("hidden_size", dict(hidden_size=40, head_dim=8)),
        ("intermediate_size", dict(intermediate_size=40)),
        ("head_dim", dict(head_dim=6)),
        ("loop_update", dict(num_prelude_layers=1)),
        ("loop_update", dict(num_coda_layers=1)),
        ("head_dim", dict(head_dim=7, ternary=False)),
        ("head_dim", dict(num_attention_heads=3, num_key_value_heads=1)),
        ("num_key_value_heads", dict(num_key_value_heads=3)),
        ("exit_at_loop", dict(exit_at_loop=4)),
        ("exit_at_loop", dict(exit_at_loop=2, exit_threshold=0.5)),
        ("weight_format", dict(weight_format="packed", ternary=False)),
        ("pad_token_id", dict(pad_token_id=96)),
        ("eos_token_id", dict(eos_token_id=[2, 96])),
    ],
)
def test_impossible_combinations_are_refused_by_name(field, settings):
    with pytest.raises(ValueError, match=f"LoopLMConfig.{field} must be"):
        tiny_config(**settings)


def test_a_combination_made_by_assignment_is_refused_by_the_model_and_in_saving(tmp_path):
    config = tiny_config(exit_at_loop=3)
    config.num_loops = 2
    with pytest.raises(ValueError, match="exit_at_loop must be at most num_loops=2"):
        LoopLMForCausalLM(config)
    model = tiny_model(exit_at_loop=2)
    model.config.exit_threshold = 0.5
    with pytest.raises(ValueError, match="exit_at_loop must be None when exit_threshold=0.5 is below 1, got 2"):
        model.save_pretrained(tmp_path)
    assert not (tmp_path / "config.json").exists(), "a folder that would not load"


def test_sizes_need_not_divide_without_ternary_layers():
    tiny_config(ternary=False, hidden_size=40, intermediate_size=50)
    tiny_config(ternary_group_size=-1, hidden_size=40, intermediate_size=50)


def test_the_effective_depth_follows_the_loops_and_cannot_be_set():
    config = tiny_config(num_shared_layers=2, num_loops=3)
    config.num_loops = 5
    assert config.num_hidden_layers == 10
    with pytest.raises(AttributeError, match="set those instead, got num_hidden_layers=4"):
        config.num_hidden_layers = 4


@pytest.mark.parametrize(
    "name, hint",
    [
        ("n_loops", "did you mean num_loops?"),
        ("max_loop_depth", "pass num_loops to forward or generate"),
        ("sliding_window", "attention is always over the whole context"),
        ("total_ut_steps", "use num_loops"),
        ("early_exit_step", "use exit_at_loop"),
        ("n_layers_in_coda", "use num_coda_layers"),
        ("attention_dropout", "no layer has dropout"),
    ],
)
def test_a_name_that_would_have_no_effect_is_refused(name, hint):
    with pytest.raises(ValueError, match=f"LoopLMConfig has no field {name}: {hint}"):
        tiny_config(**{name: 4})


def test_an_old_name_is_refused_in_a_file_and_by_assignment(tmp_path):
    config = tiny_config()
    config.save_pretrained(tmp_path)
    file = tmp_path / "config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"attention_dropout": 0.1}))
    with pytest.raises(ValueError, match="no field attention_dropout: no layer has dropout, got"):
        LoopLMConfig.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match="no field total_ut_steps: use num_loops, got total_ut_steps=4"):
        config.total_ut_steps = 4


def test_an_unknown_name_is_told_and_what_transformers_writes_is_not(tmp_path, recwarn):
    model = tiny_model(rope_parameters={"rope_type": "default", "rope_theta": 5e5})
    model.save_pretrained(tmp_path)
    LoopLMForCausalLM.from_pretrained(tmp_path, dtype="auto", attn_implementation="eager")
    assert not [each for each in recwarn if "LoopLMConfig" in str(each.message)]
    with pytest.warns(UserWarning, match="LoopLMConfig has no field favorite: it is kept and has no effect"):
        assert tiny_config(favorite=3).favorite == 3


def test_a_saved_configuration_uses_the_cache_whatever_a_trainer_set(tmp_path):
    config = tiny_config()
    config.use_cache = False
    config.save_pretrained(tmp_path)
    assert LoopLMConfig.from_pretrained(tmp_path).use_cache and config.use_cache is False


def test_every_field_survives_saving(tmp_path):
    changed = tiny_config(
        num_loops=7, exit_at_loop=2, mhc_dynamic=False, loop_loss="final", eos_token_id=[2, 3], exit_temperature=2.0
    )
    changed.save_pretrained(tmp_path)
    assert LoopLMConfig.from_pretrained(tmp_path).to_dict() == changed.to_dict()
    assert "num_hidden_layers" not in json.loads((tmp_path / "config.json").read_text())
