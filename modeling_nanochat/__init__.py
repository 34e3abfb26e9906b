"""
The LoopLM model. This folder is flat and imports nothing else of the project: `save_pretrained` copies its files into
every checkpoint, so that `trust_remote_code=True` loads them where the project is not installed.
"""

from transformers import AutoConfig, AutoModel, AutoModelForCausalLM

from .configuration_nanochat import LoopLMConfig, is_looplm
from .modeling_nanochat import LoopLMForCausalLM, LoopLMModel
from .outputs_nanochat import LoopLMCausalLMOutput, LoopLMModelOutput
from .packed_nanochat import PackedBitLinear
from .ternary_nanochat import BitLinear

AutoConfig.register(LoopLMConfig.model_type, LoopLMConfig)
AutoModel.register(LoopLMConfig, LoopLMModel)
AutoModelForCausalLM.register(LoopLMConfig, LoopLMForCausalLM)

LoopLMConfig.register_for_auto_class()
LoopLMModel.register_for_auto_class("AutoModel")
LoopLMForCausalLM.register_for_auto_class("AutoModelForCausalLM")

__all__ = [
    "BitLinear",
    "LoopLMCausalLMOutput",
    "LoopLMConfig",
    "LoopLMForCausalLM",
    "LoopLMModel",
    "LoopLMModelOutput",
    "PackedBitLinear",
    "is_looplm",
]
