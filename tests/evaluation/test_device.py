"""Where models are run, and how exactly."""

import torch

from evaluation.device import full_precision


def test_a_comparison_is_exact_also_in_a_process_that_trains_in_tf32():
    precision = torch.backends.cuda.matmul
    torch.set_float32_matmul_precision("high")
    with full_precision():
        assert precision.fp32_precision == "ieee"
    assert precision.fp32_precision == "tf32" and torch.get_float32_matmul_precision() == "high"
    torch.set_float32_matmul_precision("highest")
    with full_precision():
        pass
    assert precision.fp32_precision == "ieee"
