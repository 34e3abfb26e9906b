"""The prompts of a batch, ready to be continued by any engine, and the samples that their new tokens make."""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from transformers import PreTrainedTokenizerBase

from evaluation.models.served_model import StopRule
from evaluation.samples import Prompt, Sample, plain_text
from evaluation.token_healing import HealedPrompt, TokenHealing
from evaluation.token_loops import token_loops, within


class HealedBatch:
    """
    Prompts without the tokens at their end that the model generates again.

    Args:
        tokenizer: The model's.
        healing: Of the tokenizer; None leaves the prompts as they are.
        batch: Prompts, each with the index of its sample.
        rule: Finds the end of a completion.

    Attributes:
        texts: Whole text of each prompt.
        prompts: Tokens of each prompt, and what was removed from it.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        healing: TokenHealing | None,
        batch: Sequence[tuple[Prompt, int]],
        rule: StopRule,
    ):
        self.texts = [prompt.text for prompt, _ in batch]
        ids = tokenizer(self.texts)["input_ids"]
        self.prompts = [HealedPrompt(each, b"", None) if healing is None else healing.heal(each) for each in ids]
        self._tokenizer = tokenizer
        self._healing = healing
        self._batch = batch
        self._rule = rule

    def text(self, row: int, tokens: list[int]) -> str:
        """Return the text of the new tokens of a row after the end of its prompt, without special tokens."""
        if self._healing is not None:
            return self._healing.text(tokens, self.prompts[row])
        return plain_text(self._tokenizer, tokens)

    def sample(
        self,
        row: int,
        tokens: list[int],
        count: int,
        ends: AbstractSet[int],
        loops_used: Sequence[int],
        mean_loops: float | None,
    ) -> Sample:
        """
        Return the sample of a row.

        Args:
            row: Index in the batch.
            tokens: New tokens, which may be padded.
            count: Number of new tokens without padding.
            ends: Tokens that end a text.
            loops_used: Loops of each token; empty for a model without loops.
            mean_loops: Loops per token; None for a model without loops.
        """
        (prompt, number), text = self._batch[row], self.text(row, tokens)
        function = self._rule(prompt.text, text)
        completion = text if function is None else function
        known = within(token_loops(self._tokenizer, tokens, loops_used, text), len(completion))
        reached_limit = function is None and ends.isdisjoint(tokens)
        return Sample(prompt.name, number, completion, function is not None, count, mean_loops, reached_limit, known)
