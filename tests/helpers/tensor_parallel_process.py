"""
Run by test_tensor_parallel.py on two processes, which share each model that it saved; prints what they found against
one process alone:

    torchrun --nproc_per_node 2 tensor_parallel_process.py FOLDER
"""

import json
import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch.distributed.tensor import DTensor
from transformers import AutoModelForCausalLM
from transformers.distributed.configuration_utils import DistributedConfig

from modeling_nanochat import BitLinear, LoopLMForCausalLM, ternary_nanochat
from tests.helpers.tiny import random_tokens

TWO = DistributedConfig(tp_size=2)


def relative(found: torch.Tensor, expected: torch.Tensor) -> float:
    """Largest difference, as a fraction of the largest expected value."""
    found = found.full_tensor() if isinstance(found, DTensor) else found
    return ((found - expected).abs().max() / expected.abs().max()).item()


def loss_gradients_and_quantizations(model: LoopLMForCausalLM, tokens: torch.Tensor) -> tuple:
    """Loss and gradients of a training step, and the number of times that a weight was quantized in it."""
    calls, quantize = [], ternary_nanochat.quantize_weight
    ternary_nanochat.quantize_weight = lambda *arguments: calls.append(1) or quantize(*arguments)
    loss = model.train()(tokens, labels=tokens).loss
    ternary_nanochat.quantize_weight = quantize
    loss.backward()
    return loss.detach(), {name: parameter.grad for name, parameter in model.named_parameters()}, len(calls)


def compare(folder: Path) -> dict:
    tokens = random_tokens(2, 9)
    whole = AutoModelForCausalLM.from_pretrained(folder).eval()
    shared = AutoModelForCausalLM.from_pretrained(folder, distributed_config=TWO).eval()
    found: dict = {
        "shares": shared.model.layers[0].mlp.down_proj.weight.to_local().shape[1] / whole.config.intermediate_size
    }
    with torch.no_grad():
        first, second = whole(tokens, output_loop_states=True), shared(tokens, output_loop_states=True)
    found["logits"] = relative(second.logits, first.logits)
    found["loop_states"] = relative(torch.stack(second.loop_hidden_states), torch.stack(first.loop_hidden_states))
    found["exit_pdf"] = relative(second.exit_pdf, first.exit_pdf)
    found["generates_alike"] = {
        cache: torch.equal(
            *(
                model.generate(tokens, max_new_tokens=6, do_sample=False, cache_implementation=cache)
                for model in (whole, shared)
            )
        )
        for cache in ("dynamic", "static")
    }
    # Who leaves is decided in every process, from the same numbers.
    early = dict(exit_threshold=0.6, max_new_tokens=6, do_sample=False, return_dict_in_generate=True)
    first, second = whole.generate(tokens, **early), shared.generate(tokens, **early)
    found["leaves_alike"] = torch.equal(first.loops_used, second.loops_used)
    found["loops"] = first.loops_used.unique().tolist()
    with torch.no_grad():
        pairs = zip(whole.modules(), shared.modules(), strict=True)
        layers = [(one, two) for one, two in pairs if isinstance(one, BitLinear)]
        for one, two in layers:
            two.keep_quantized_weight(reuse=False)
            part = DTensor.from_local(two._kept[0], two.weight.device_mesh, two.weight.placements)
            expected = ternary_nanochat.quantize_weight(one.weight, one.group_size)
            assert torch.equal(part.full_tensor(), expected)
            two.clear_quantized_weight()
    one_loss, one_gradients, one_calls = loss_gradients_and_quantizations(whole, tokens)
    two_loss, two_gradients, two_calls = loss_gradients_and_quantizations(shared, tokens)
    found["loss"] = relative(two_loss, one_loss)
    found["gradients"] = max(relative(two_gradients[name], gradient) for name, gradient in one_gradients.items())
    found["same_quantizations"] = one_calls == two_calls == len(layers)
    shared.save_pretrained(folder / "again")
    dist.barrier()
    again = AutoModelForCausalLM.from_pretrained(folder / "again").state_dict()
    found["saves_whole_weights"] = all(torch.equal(again[name], value) for name, value in whole.state_dict().items())
    return found


def refusal(folder: Path, **changes) -> str:
    try:
        LoopLMForCausalLM.from_pretrained(folder, distributed_config=TWO, **changes)
    except (ValueError, NotImplementedError) as error:
        return str(error)
    return "none"


def main(folder: Path) -> None:
    dist.init_process_group("gloo")
    assert dist.get_world_size() == 2
    found = {path.name: compare(path) for path in sorted(folder.iterdir())}
    found["wide_group"] = refusal(folder / "int8_groups", ternary_group_size=32)
    shared = LoopLMForCausalLM.from_pretrained(folder / "int8_groups", distributed_config=TWO)
    for method in (shared.compile_blocks, shared.pack):
        try:
            method()
            found[method.__name__] = "none"
        except NotImplementedError as error:
            found[method.__name__] = str(error)
    if dist.get_rank() == 0:
        print(json.dumps(found))
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
