"""GGUF files of packed models."""

import pytest

from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.blocks import FORMATS
from model_cards.gguf.export import export_gguf
from tests.helpers.gguf_models import TOKENIZER, gguf_model


@pytest.mark.parametrize("group_size", [128, 256, -1])
def test_a_packed_folder_gives_the_file_of_the_latent_one_byte_for_byte(tmp_path, group_size):
    model = gguf_model(ternary_group_size=group_size, tie_word_embeddings=group_size == -1)
    model.save_pretrained(tmp_path / "latent")
    model.pack().save_pretrained(tmp_path / "packed", max_shard_size="100KB")
    for type in [name for name, each in FORMATS.items() if group_size == -1 or group_size % each.block == 0]:
        for folder in ("latent", "packed"):
            checkpoint = LoopLMCheckpoint.from_folder(tmp_path / folder)
            export_gguf(checkpoint, TOKENIZER, tmp_path / f"{folder}.gguf", type=type)
        assert (tmp_path / "packed.gguf").read_bytes() == (tmp_path / "latent.gguf").read_bytes(), type


def test_a_packed_weight_without_its_scales_is_missed(tmp_path):
    packed = gguf_model().pack()
    packed.model.layers[1].mlp.up_proj._buffers.pop("weight_scales")
    with pytest.raises(ValueError, match=r"lacks \['model.layers.1.mlp.up_proj.weight'"):
        export_gguf(LoopLMCheckpoint.from_model(packed), TOKENIZER, tmp_path / "model.gguf")
