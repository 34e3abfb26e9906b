"""Packed weights are the latent model's, bit for bit, in 2.2 bits each, through every cast, and cannot be trained."""

import copy
import json
import pickle
import statistics
from typing import Any

import accelerate
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open
from transformers import Trainer, TrainingArguments

from evaluation.generate import fingerprint
from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.model_statistics import ModelStatistics
from modeling_nanochat import BitLinear, LoopLMForCausalLM, LoopLMModel, PackedBitLinear
from modeling_nanochat.packed_nanochat import KERNELS, pack_codes, unpack_codes
from modeling_nanochat.ternary_nanochat import quantize_weight
from tests.helpers.tiny import random_tokens, tiny_config, tiny_model

TOKENS = random_tokens(2, 9)
WIDE = dict(hidden_size=256, intermediate_size=512, num_shared_layers=1, num_loops=2, initializer_range=0.04)


def layers_of(model, kind):
    return {name: module for name, module in model.named_modules() if isinstance(module, kind)}


def test_a_byte_holds_four_neighbors_the_first_in_its_lowest_bits():
    codes = torch.tensor([[-1, 0, 1, 1, 0, 0, 0, -1]], dtype=torch.int8)
    assert pack_codes(codes).tolist() == [[0b10_10_01_00, 0b00_01_01_01]]
    every = torch.cartesian_prod(*[torch.tensor([-1, 0, 1], dtype=torch.int8)] * 4)
    assert torch.equal(unpack_codes(pack_codes(every)), every)


@pytest.mark.parametrize("group_size", [4, 128, 256, -1])
def test_every_weight_equals_the_fake_quantized_one(group_size):
    generator = torch.Generator().manual_seed(0)
    latent = BitLinear(512, 40, group_size)
    with torch.no_grad():
        # Groups of zeros, and scales from below the smallest to above the largest.
        latent.weight.normal_(generator=generator).mul_(10 ** torch.linspace(-12, 6, 40)[:, None])
        latent.weight[7] = 0
    packed = PackedBitLinear.from_latent(latent)
    assert packed.weight_codes.shape == (40, 128) and packed.weight_codes.dtype == torch.uint8
    assert packed.weight_scales.dtype == torch.float16
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        assert torch.equal(packed.quantized_weight(dtype), quantize_weight(latent.weight, group_size, dtype))


@torch.no_grad()
@pytest.mark.parametrize(
    "settings",
    [
        dict(activation_bits=8),
        dict(activation_bits=8, ternary_group_size=-1, tie_word_embeddings=True),
        dict(mhc_num_streams=1, sandwich_norm=True),
        dict(activation_bits=8, attention_bias="qkvo", qk_norm=True),
        dict(WIDE, ternary_group_size=256, activation_bits=8),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_and_tokens_are_the_latent_models(settings, dtype):
    latent = tiny_model(**settings).to(dtype)
    packed = latent.pack()
    for cache in (True, False):
        packed.set_packed_kernel("exact", cache=cache)
        assert torch.equal(packed(TOKENS).logits, latent(TOKENS).logits)
        assert torch.equal(packed(TOKENS, num_loops=5).logits, latent(TOKENS, num_loops=5).logits)
        written = packed.generate(TOKENS, max_new_tokens=6, do_sample=False)
        assert torch.equal(written, latent.generate(TOKENS, max_new_tokens=6, do_sample=False))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(packed(TOKENS).logits, latent(TOKENS).logits)


@pytest.mark.parametrize("kv_reuse", ["none", "last"])
@pytest.mark.parametrize(
    "decoding", [{}, {"num_beams": 3}, {"do_sample": True}, {"cache_implementation": "static", "num_loops": 5}]
)
def test_tokens_leave_packed_weights_where_they_leave_latent_ones(kv_reuse, decoding):
    latent = tiny_model(num_loops=4, activation_bits=8, kv_reuse=kv_reuse, exit_threshold=0.7)
    settings = dict(max_new_tokens=8, min_new_tokens=8, do_sample=False, return_dict_in_generate=True) | decoding
    found = []
    for model in (latent, latent.pack()):
        torch.manual_seed(0)
        found.append(model.generate(TOKENS, **settings))
    assert torch.equal(found[0].sequences, found[1].sequences)
    assert torch.equal(found[0].loops_used, found[1].loops_used) and len(found[0].loops_used.unique()) > 1


def test_a_generation_that_fails_leaves_nothing_behind():
    packed = tiny_model(num_loops=4, exit_threshold=0.7, kv_reuse="last").pack()
    settings: dict[str, Any] = dict(max_new_tokens=8, min_new_tokens=8, do_sample=False, return_dict_in_generate=True)
    expected, calls = packed.generate(TOKENS, **settings), []

    def fail(*_):
        calls.append(1)
        if len(calls) == 9:
            raise MemoryError

    hook = packed.model.layers[1].register_forward_hook(fail)
    with pytest.raises(MemoryError):
        packed.generate(TOKENS, **settings)
    hook.remove()
    assert all(layer._kept is None for layer in layers_of(packed, PackedBitLinear).values())
    again = packed.generate(TOKENS, **settings)
    assert torch.equal(again.sequences, expected.sequences) and torch.equal(again.loops_used, expected.loops_used)


CASTS = {
    "to": lambda model: model.to(torch.bfloat16),
    "half": lambda model: model.half(),
    "float": lambda model: model.half().float(),
    "double": lambda model: model.double(),
    "type": lambda model: model.type(torch.bfloat16),
}


@pytest.mark.parametrize("cast", CASTS)
def test_no_cast_touches_codes_and_scales(cast, tmp_path):
    model = tiny_model()
    with torch.no_grad():
        for layer in layers_of(model, BitLinear).values():
            layer.weight.mul_(10 ** torch.linspace(-6, 5, layer.out_features)[:, None])
    packed = model.pack()
    before = {name: buffer.clone() for name, buffer in packed.named_buffers() if "weight_" in name}
    changed = CASTS[cast](packed)
    after = dict(changed.named_buffers())
    assert before and all(torch.equal(after[name], buffer) for name, buffer in before.items())
    assert {buffer.dtype for name, buffer in after.items() if "weight_" in name} == {torch.uint8, torch.float16}
    changed.save_pretrained(tmp_path)
    assert json.loads((tmp_path / "config.json").read_text())["dtype"] == str(changed.dtype).split(".")[1]
    again = LoopLMForCausalLM.from_pretrained(tmp_path, dtype="auto")
    assert again.dtype == changed.dtype == changed.lm_head.weight.dtype
    assert all(torch.equal(dict(again.named_buffers())[name], buffer) for name, buffer in before.items())


def test_a_card_counts_packed_weights_as_latent_ones():
    latent, packed = (
        ModelStatistics.from_checkpoint(LoopLMCheckpoint.from_model(model))
        for model in (tiny_model(), tiny_model().pack())
    )
    assert packed.dtypes == ("float16", "float32", "uint8") and packed.weight_bytes < latent.weight_bytes
    for name in ("parameters", "ternary_parameters", "ternary_share", "bits_per_ternary_weight"):
        assert getattr(packed, name) == getattr(latent, name), name


@pytest.mark.parametrize("group_size", [128, 256, -1])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_body_takes_at_most_2_2_bits_per_weight_on_disk_and_in_memory(tmp_path, group_size, dtype):
    latent = tiny_model(**WIDE, ternary_group_size=group_size)
    weights = sum(layer.weight.numel() for layer in layers_of(latent, BitLinear).values())
    latent.pack().save_pretrained(tmp_path)
    with safe_open(tmp_path / "model.safetensors", framework="pt") as file:
        stored = [file.get_tensor(name) for name in file.keys() if "_proj." in name]
    loaded = LoopLMForCausalLM.from_pretrained(tmp_path, dtype=dtype)
    held = [
        tensor
        for layer in layers_of(loaded, PackedBitLinear).values()
        for tensor in (*layer.parameters(), *layer.buffers())
    ]
    for tensors in (stored, held):
        assert 8 * sum(tensor.nbytes for tensor in tensors) / weights <= 2.2
    memory = loaded.packed_memory()
    assert memory.weights == weights and memory.code_bytes + memory.scale_bytes == sum(each.nbytes for each in held)
    assert f"{memory.bits_per_weight:.3f} bits each" in str(memory)
    assert f"{weights * loaded.dtype.itemsize:,} bytes" in str(memory)


@torch.no_grad()
@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("cache", [True, False])
def test_what_is_kept_while_weights_rest_is_what_the_model_says(kernel, cache):
    packed = tiny_model(activation_bits=8, ternary_group_size=32).pack()
    packed.set_packed_kernel(kernel, cache=cache)

    def kept():
        found = [layer._kept[1] for layer in layers_of(packed, PackedBitLinear).values() if layer._kept]
        return sum(tensor.nbytes for parts in found for part in parts for tensor in part)

    packed(TOKENS)
    assert kept() == 0
    with packed.model.cached_weights():
        packed(TOKENS)
        assert kept() == packed.packed_memory().cache_bytes
        packed(TOKENS)
        assert (kept() > 0) == cache
    assert kept() == 0


@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(hidden_size=42, head_dim=8), 'hidden_size must be a multiple of 4 when weight_format="packed", got 42'),
        (dict(intermediate_size=66), "intermediate_size must be a multiple of 4 .* got 66"),
        (dict(num_attention_heads=3, num_key_value_heads=3, head_dim=6), "head_dim must be such that .*=3 x .* 4 "),
    ],
)
def test_widths_that_four_does_not_divide_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        tiny_model(ternary_group_size=-1, **settings).pack()
    with pytest.raises(ValueError, match="in_features must be a multiple of 4 to be packed, got 6"):
        PackedBitLinear(6, 2, -1)


def test_training_is_refused_with_the_reason(tmp_path):
    packed = tiny_model().pack()
    reason = "cannot be trained, because its weights are 2-bit codes without gradients; train the latent model"
    with pytest.raises(ValueError, match=reason):
        packed.train()
    assert not packed.training and packed.train(False) is packed
    rows = [{"input_ids": TOKENS[0], "labels": TOKENS[0]}]
    trainer = Trainer(packed, TrainingArguments(tmp_path, report_to="none", use_cpu=True), train_dataset=rows)
    with pytest.raises(ValueError, match=reason):
        trainer.train()
    # A loss outside of no_grad is fine; its gradient is not.
    loss = packed(TOKENS, labels=TOKENS).loss
    torch.testing.assert_close(loss, tiny_model()(TOKENS, labels=TOKENS).loss)
    with pytest.raises(RuntimeError, match=reason):
        loss.backward()


def test_adapters_do_not_attach_to_packed_weights_and_must_be_merged_before():
    with pytest.raises(ValueError, match="PackedBitLinear.* is not supported"):
        get_peft_model(tiny_model().pack(), LoraConfig(target_modules=["q_proj"]))
    adapted = get_peft_model(tiny_model(), LoraConfig(target_modules=["lm_head"]))
    with pytest.raises(ValueError, match="it also has lm_head.base_layer.weight: adapters must be merged before"):
        adapted.base_model.model.pack()
    assert torch.isfinite(adapted.merge_and_unload().pack()(TOKENS).logits).all()


@torch.no_grad()
def test_the_packed_model_shares_nothing_with_the_latent_one():
    latent = tiny_model().train()
    with latent.model.cached_weights():
        packed = latent.pack()
    expected = packed(TOKENS).logits
    assert latent.training and latent.config.weight_format == "latent" and not packed.training
    assert all(module.config.weight_format == "packed" for module in (packed, packed.model))
    for tensor in (*latent.parameters(), *latent.buffers()):
        tensor.mul_(-1.5)
    assert torch.equal(packed(TOKENS).logits, expected)
    assert all(layer._kept is None for layer in layers_of(packed, PackedBitLinear).values())


def test_what_cannot_be_packed_says_why():
    with pytest.raises(ValueError, match='weight_format must be "latent" to be packed, got "packed"'):
        tiny_model().pack().pack()
    with pytest.raises(ValueError, match='weight_format must be "latent" when ternary=False'):
        tiny_model(ternary=False).pack()
    broken = tiny_model()
    broken.model.layers[0].mlp.up_proj.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="weights must be finite to be packed"):
        broken.pack()
    with pytest.raises(ValueError, match="weights must be in memory to be packed"):
        accelerate.cpu_offload(tiny_model(), execution_device=torch.device("cpu")).pack()


def test_packed_weights_never_begin_at_random(tmp_path):
    with pytest.raises(ValueError, match="packed weights come from pack"):
        LoopLMForCausalLM(tiny_config(weight_format="packed"))
    latent = tiny_model()
    latent.save_pretrained(tmp_path)
    with pytest.raises(
        ValueError, match='weight_format must be "latent" for random initialization or a folder with latent'
    ):
        LoopLMForCausalLM.from_pretrained(tmp_path, weight_format="packed")
    with torch.device("meta"):
        empty = LoopLMForCausalLM(tiny_config(weight_format="packed"))
    packed = latent.pack()
    packed.save_pretrained(tmp_path / "packed")
    for kind in (LoopLMForCausalLM, LoopLMModel):
        with pytest.raises(ValueError, match='weight_format must be "packed" for .* cannot be recovered'):
            kind.from_pretrained(tmp_path / "packed", weight_format="latent")
    assert empty.num_parameters() == packed.num_parameters() == latent.num_parameters()
    assert packed.num_parameters(only_trainable=True) < latent.num_parameters(only_trainable=True)


@torch.no_grad()
def test_copies_pickles_shards_and_the_base_model_compute_the_same(tmp_path):
    packed = tiny_model(tie_word_embeddings=True).pack()
    expected = packed(TOKENS).logits
    packed.save_pretrained(tmp_path, max_shard_size="10KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    loaded = LoopLMForCausalLM.from_pretrained(tmp_path)
    for twin in (copy.deepcopy(packed), pickle.loads(pickle.dumps(packed)), loaded):
        assert torch.equal(twin(TOKENS).logits, expected)
        assert twin.lm_head.weight is twin.model.embed_tokens.weight
    assert fingerprint(loaded) == fingerprint(LoopLMForCausalLM.from_pretrained(tmp_path))
    base = LoopLMModel.from_pretrained(tmp_path)
    assert torch.equal(base(TOKENS).last_hidden_state, tiny_model().model.pack()(TOKENS).last_hidden_state)


def meant_product(latent, inputs):
    """With activations rounded to int8, in fp64."""
    scale = inputs.abs().amax(-1, keepdim=True) / 127
    return (inputs / scale).round().double() @ quantize_weight(latent.weight, latent.group_size).double().t() * scale


@torch.no_grad()
@pytest.mark.parametrize("group_size", [32, -1])
def test_the_int8_kernel_multiplies_exactly_what_the_layer_means(group_size):
    torch.manual_seed(0)
    latent = BitLinear(96, 24, group_size)
    packed = PackedBitLinear.from_latent(latent)
    packed.kernel = "int8"
    inputs = torch.randn(2, 3, 96) * 5
    torch.testing.assert_close(packed(inputs).double(), meant_product(latent, inputs), atol=1e-6, rtol=1e-6)
    assert packed(inputs[0, 0]).shape == (24,) and packed(inputs.bfloat16()).dtype == torch.bfloat16


@torch.no_grad()
@pytest.mark.parametrize("activation_bits", [8, None])
def test_the_int4_kernel_rounds_the_product_once_and_many_tokens_not_at_all(activation_bits):
    torch.manual_seed(0)
    latent = BitLinear(96, 32, 32, activation_bits)
    packed = PackedBitLinear.from_latent(latent)
    packed.kernel = "int4"
    inputs = (torch.randn(2, 3, 96) * 5).bfloat16().float()
    expected = latent(inputs) if activation_bits is None else meant_product(latent, inputs).float()
    torch.testing.assert_close(packed(inputs), expected, atol=1e-5, rtol=2**-8)
    assert packed(inputs[0, 0]).shape == (32,) and packed(inputs.bfloat16()).dtype == torch.bfloat16
    many = torch.randn(3, 11, 96)
    assert torch.equal(packed(many), latent(many)) and not torch.equal(packed(many[:1]), latent(many[:1]))


@torch.no_grad()
def test_the_int8_kernel_differs_in_the_last_bits_only():
    deviations = []
    for seed in range(5):
        latent = tiny_model(seed=seed, activation_bits=8, ternary_group_size=32, initializer_range=0.05)
        expected, packed = latent(TOKENS).logits, latent.pack()
        packed.set_packed_kernel("int8")
        deviations.append(((packed(TOKENS).logits - expected).norm() / expected.norm()).item())
    # In a few models, the last bit of either kernel rounds an activation to another of its 255 levels.
    assert 0 < statistics.median(deviations) < 1e-6 and max(deviations) < 1e-3


@torch.no_grad()
def test_the_other_kernels_stay_close_and_are_not_saved(tmp_path):
    latent = tiny_model(activation_bits=8, ternary_group_size=32, initializer_range=0.05)
    expected = latent(TOKENS).logits

    def deviation(model, kernel):
        model.set_packed_kernel(kernel)
        return ((model(TOKENS).logits.float() - expected).norm() / expected.norm()).item()

    packed = latent.pack()
    assert deviation(packed, "exact") == 0 < deviation(packed, "int8")
    assert 0 < deviation(packed, "int4") < deviation(latent.pack().bfloat16(), "exact"), "as bf16 products, or better"
    packed.save_pretrained(tmp_path)
    assert torch.equal(LoopLMForCausalLM.from_pretrained(tmp_path)(TOKENS).logits, expected)


@pytest.mark.parametrize(
    "settings, kernel, message",
    [
        ({}, "int2", "kernel must be one of 'exact', 'int8', 'int4', got 'int2'"),
        ({}, "int8", 'activation_bits must be 8 for kernel="int8", got None'),
        ({"ternary_group_size": -1}, "int4", r"ternary_group_size must be one of \(32, .*\) for .*int4.*, got -1"),
        ({"ternary_group_size": 32, "num_key_value_heads": 1}, "int4", "k_proj.out_features must be .* 16 .* got 8"),
    ],
)
def test_kernels_are_refused_where_they_mean_nothing(settings, kernel, message):
    with pytest.raises(ValueError, match=message):
        tiny_model(**settings).pack().set_packed_kernel(kernel)
    with pytest.raises(ValueError, match='weight_format must be "packed" for set_packed_kernel, got "latent"'):
        tiny_model(**settings).set_packed_kernel(kernel)


@pytest.mark.slow
@torch.no_grad()
def test_compiled_blocks_unpack_in_their_graph():
    packed = tiny_model(activation_bits=8).pack()
    expected = packed(TOKENS, use_cache=False).logits
    packed.compile_blocks(fullgraph=True)
    torch.testing.assert_close(packed(TOKENS, use_cache=False).logits, expected, atol=2e-2, rtol=0)
