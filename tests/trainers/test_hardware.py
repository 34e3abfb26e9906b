"""Precision by processor: bf16 only where it is the faster one."""

import pytest
import torch

from trainers import hardware


@pytest.mark.parametrize(
    ("name", "avx512_bf16", "amx", "is_fast"),
    [
        ("AMD EPYC 9B14", True, False, True),
        ("AMD EPYC 7763", False, False, False),
        ("Intel(R) Xeon(R) Processor", True, False, False),
        ("Intel(R) Xeon(R) Processor", True, True, True),
        ("x86_64", False, False, False),
    ],
)
def test_a_processor_trains_in_bf16_where_its_instructions_are_faster(monkeypatch, name, avx512_bf16, amx, is_fast):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(hardware, "processor_name", lambda: name)
    assert hardware.has_fast_bf16() == is_fast
