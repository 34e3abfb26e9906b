"""
White space at the end of a prompt, for whoever tokenizes the prompt by itself: a server, or another harness.

It would be a token of its own, while in the texts of the training it is one token with what follows. So the prompt is
sent without it, and it is taken off the beginning of the completion.
"""

import os


def without_space(prompt: str) -> tuple[str, str]:
    """Return the prompt to send and the white space that was at its end; all white space is sent as it is."""
    sent = prompt.rstrip() or prompt
    return sent, prompt[len(sent) :]


def after_space(completion: str, space: str) -> str:
    """Return the completion of a whole prompt from that of the prompt without `space` at its end."""
    return completion[len(os.path.commonprefix([completion, space])) :]
