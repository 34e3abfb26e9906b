"""A model that applies every layer once is a plain stack for llama.cpp, whatever its parts are called."""

import numpy as np

from model_cards.checkpoint import LoopLMCheckpoint
from model_cards.gguf.export import export_gguf
from tests.helpers.gguf_models import TOKENIZER, gguf_model


def test_one_loop_with_prelude_and_coda_is_the_file_of_a_plain_stack(tmp_path):
    parts = gguf_model(num_loops=1, num_shared_layers=1, num_prelude_layers=1, num_coda_layers=1, loop_update="scaled")
    plain = gguf_model(num_loops=1, num_shared_layers=3)
    plain.load_state_dict(parts.state_dict(), strict=False)
    found, expected = (
        export_gguf(LoopLMCheckpoint.from_model(model), TOKENIZER, tmp_path / name, type="f32", unrolled=True)
        for name, model in (("parts.gguf", parts), ("plain.gguf", plain))
    )
    assert found.metadata["llama.block_count"] == 3 and found.tensors.keys() == expected.tensors.keys()
    assert all(np.array_equal(found.raw(name), expected.raw(name)) for name in expected.tensors)
