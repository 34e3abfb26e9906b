"""The count of kernels reads generated code and the profiler as they are."""

import json

import pytest
import torch

from benchmarks.kernel_counts import run
from benchmarks.kernel_counts_rows import (
    SEPARATELY,
    Launches,
    Settings,
    direction,
    launches,
    measure_step,
    sums_of_gradients,
)

CODE = """# AOT ID: ['3_backward']
cpp_fused_add_0 = async_compile.cpp_pybinding(['float*'], '''cpp_fused_not_called(''')
class Runner:
    def call(self, args):
        buf0 = empty_strided_cpu((4, 4), (4, 1), torch.float32)
        # Topologically Sorted Source Nodes: [extern_kernels.mm(]
        cpp_fused_add_0(args[0], buf0)
        extern_kernels.mm(buf0, args[1], out=buf1)
        extern_kernels.bmm(buf0, args[1], out=buf2)
        buf3 = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu.default(buf1, buf2)
        cpp_fused_add_0(buf3, buf0)
"""
TINY = Settings(blocks=[2], streams=[1], hidden_size=128, product_size=32, tokens=8, rounds=1)


def test_launches_are_calls_and_not_definitions_or_comments():
    assert launches(CODE) == Launches(fused=2, products=2, attentions=1)
    assert direction(CODE) == "backward"


def test_only_additions_of_the_autograd_engine_are_sums_of_gradients():
    inputs = torch.ones(3, 5, requires_grad=True)

    def used_three_times():
        (inputs.sin() + inputs.cos() + 1 + inputs).sum().backward()

    assert sums_of_gradients(used_three_times) == (2, 2 * 15)


def test_a_step_of_eager_blocks_rounds_four_inputs_of_each_application_or_seven_without_sharing():
    shared, separate = (measure_step(blocks, 1, True, TINY) for blocks in ("eager", SEPARATELY))
    applications = 2 * 2
    assert (shared.roundings, separate.roundings) == (4 * applications, 7 * applications)
    assert shared.kept < separate.kept and shared.products == separate.products
    assert 0 < shared.of_matrices < shared.summed == separate.summed


@pytest.mark.slow
def test_a_graph_of_a_loop_has_the_products_of_its_blocks_and_the_page_compares_them(tmp_path):
    output, report = tmp_path / "counts.json", tmp_path / "page.md"
    run(TINY, output, report)
    rows = json.loads(output.read_text())["rows"]
    graphs = [values for key, values in rows.items() if key.startswith("graph ")]
    block, loop = (next(each for each in graphs if each["scope"] == scope) for scope in ("block", "loop"))
    for part in ("forward", "backward"):
        assert loop[part]["products"] == 2 * block[part]["products"] > 0
        assert loop[part]["attentions"] == 2 * block[part]["attentions"] == 2
        assert 0 < loop[part]["fused"] <= 2 * block[part]["fused"]
    assert "- 1 stream, 2 blocks in a graph:" in report.read_text()
