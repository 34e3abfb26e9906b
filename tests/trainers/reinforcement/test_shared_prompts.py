"""Completions of one prompt in one row: the same log-probabilities and gradients, with each prompt computed once."""

import pytest
import torch

from tests.helpers.reinforcement import looped
from tests.helpers.trained_rows import TOKENIZER, FewRows, difference, trained
from trainers.reinforcement import shared_prompts
from trainers.reinforcement.shared_prompts import share_prompts

LONG, SHORT = [5, 6, 7, 8, 9], [7, 8]
PROMPTS = [LONG, SHORT, LONG, LONG, SHORT]
COMPLETIONS = [[11, 12, 13], [14], [], [15, 16, 17, 18], [19, 20]]


class Apart(FewRows):
    """Trainer with a row for each completion."""

    @property
    def shares_prompts(self) -> bool:
        return False


def test_a_prompt_stands_once_and_each_completion_sees_it_and_itself():
    rows = share_prompts(PROMPTS, COMPLETIONS)
    assert rows.input_ids.tolist() == [[*LONG, 11, 12, 15, 16, 17], [*SHORT, 19, *[0] * 7]]
    assert rows.position_ids is not None
    assert rows.position_ids[0].tolist() == [0, 1, 2, 3, 4, 5, 6, 5, 6, 7]
    # The token before each token of the completions; the last one of a completion predicts nothing.
    assert rows.sources.tolist() == [4, 5, 6, 11, 4, 7, 8, 9, 11, 12]
    (seen, _) = rows.attention_mask[:, 0]
    assert [row.nonzero().flatten().tolist() for row in seen[[2, 6, 8]]] == [
        [0, 1, 2],
        [0, 1, 2, 3, 4, 5, 6],
        [0, 1, 2, 3, 4, 7, 8],
    ]
    assert rows.attention_mask.any(dim=-1).all(), "the attention of a row that sees nothing would be NaN"


def test_a_group_without_room_in_one_row_has_several(monkeypatch):
    monkeypatch.setattr(shared_prompts, "LARGEST_WIDTH", 10)
    rows = share_prompts([LONG] * 4, [[11, 12, 13]] * 4)
    assert rows.input_ids.tolist() == [[*LONG, 11, 12, 11, 12]] * 2
    monkeypatch.setattr(shared_prompts, "LARGEST_WIDTH", 8)
    rows = share_prompts([LONG] * 2, [[11, 12, 13]] * 2)
    assert rows.input_ids.tolist() == [[*LONG, 11, 12]] * 2 and rows.position_ids is None


def test_one_long_row_keeps_the_others_from_a_mask_of_its_width(monkeypatch):
    monkeypatch.setattr(shared_prompts, "LARGEST_WIDTH", 7)
    rows = share_prompts([LONG, SHORT, SHORT], [[11, 12, 13], [14], [15]])
    assert rows.attention_mask.shape == (3, 7)


def test_completions_without_tokens_have_no_log_probabilities(tmp_path):
    trainer = trained(FewRows, tmp_path, max_steps=1)
    found, *_ = trainer._get_per_token_logps_and_entropies(
        trainer.model, torch.tensor([[5, 6, 0], [5, 6, 0]]), torch.tensor([[1, 1, 0], [1, 1, 0]]), 1
    )
    assert found.tolist() == [[0], [0]]


@pytest.mark.parametrize("loop_credit", ["final", "exit_pdf"])
def test_the_trained_weights_are_those_of_a_row_for_each_completion(tmp_path, loop_credit):
    shared, apart = (trained(kind, tmp_path / kind.__name__, loop_credit=loop_credit) for kind in (FewRows, Apart))
    assert shared.shares_prompts
    assert difference(shared, apart) < 1e-6
    start = looped(TOKENIZER, activation_bits=None).parameters()
    assert max((a - b).abs().max() for a, b in zip(start, shared.policy.parameters(), strict=True)) > 1e-3


@pytest.mark.parametrize(
    "shape", [{}, {"num_prelude_layers": 1, "num_coda_layers": 1, "loop_update": "scaled"}, {"mhc_num_streams": 2}]
)
def test_log_probabilities_are_those_of_the_logits_of_each_completion(tmp_path, shape):
    trainer = trained(FewRows, tmp_path, max_steps=1)
    trainer.model = looped(TOKENIZER, activation_bits=None, **shape).eval()
    longest = max(map(len, COMPLETIONS))
    ids = torch.tensor(
        [[0] * (5 - len(p)) + p + c + [0] * (longest - len(c)) for p, c in zip(PROMPTS, COMPLETIONS, strict=True)]
    )
    found, entropies, _ = trainer._get_per_token_logps_and_entropies(
        trainer.model, ids, (ids != 0).long(), longest, compute_entropy=True
    )
    for row, (prompt, completion) in enumerate(zip(PROMPTS, COMPLETIONS, strict=True)):
        logits = trainer.model(torch.tensor([[*prompt, *completion]])).logits[0, len(prompt) - 1 :].float()
        expected = (logits / trainer.temperature).log_softmax(dim=-1)
        of_tokens = expected[torch.arange(len(completion)), completion]
        assert torch.allclose(found[row, : len(completion)], of_tokens, atol=1e-5)
        assert found[row, len(completion) :].eq(0).all()
        entropy = -(expected.exp() * expected).sum(dim=-1)[: len(completion)]
        assert torch.allclose(entropies[row, : len(completion)], entropy, atol=1e-4)
