"""
One of the two processes of test_sharded.py: trains with FSDP2, from the newest checkpoint where there is one.

    RANK=0 LOCAL_RANK=0 WORLD_SIZE=2 MASTER_ADDR=... MASTER_PORT=... sharded_process.py OUTPUT_DIR SETTINGS
"""

import json
import sys
from pathlib import Path

import torch
from accelerate.state import AcceleratorState, DistributedType, PartialState
from torch.distributed.tensor import DTensor

from tests.helpers.tiny import random_tokens, tiny_model
from trainers import optimizers
from trainers.pretraining import LoopLMTrainer, last_complete_checkpoint, pretraining_arguments, train_from

FSDP2 = {
    "version": 2,
    "state_dict_type": "FULL_STATE_DICT",
    "reshard_after_forward": False,
    "auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
    "transformer_layer_cls_to_wrap": ["LoopLMDecoderLayer"],
}
ROWS = [{"input_ids": row, "labels": row} for row in random_tokens(16, 16)]


def main() -> None:
    output_dir, settings = Path(sys.argv[1]), json.loads(sys.argv[2])
    torch.set_num_threads(1)
    # In bf16 Muon's iteration rounds otherwise on shards than on whole matrices, and ternary weights amplify that.
    optimizers.has_fast_bf16 = lambda: False
    arguments = pretraining_arguments(output_dir=str(output_dir), fsdp=True, fsdp_config=FSDP2, **settings)
    assert arguments.world_size == 2
    try:
        LoopLMTrainer(model=tiny_model(), args=arguments, train_dataset=ROWS)
    except ValueError as error:
        (output_dir / "refusal.txt").write_text(str(error))
    # accelerate shards on GPUs alone; told that these are some, it does what it does there.
    AcceleratorState._reset_state()
    PartialState._shared_state["distributed_type"] = DistributedType.MULTI_XPU
    trainer = LoopLMTrainer(model=tiny_model(), args=arguments, train_dataset=ROWS)
    train_from(trainer, last_complete_checkpoint(output_dir))
    assert all(isinstance(parameter, DTensor) for parameter in trainer.model.parameters())
    trainer.save_model(str(output_dir / "model"))


if __name__ == "__main__":
    main()
