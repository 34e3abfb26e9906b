"""The options of `python -m model_cards serve` and `chat`."""

import argparse
import os
from pathlib import Path

KEY_VARIABLE = "LLAMA_API_KEY"


def add_serve(subcommands):
    """Adds the subcommand `serve`."""
    parser = subcommands.add_parser(
        "serve",
        help="serve a GGUF file with llama.cpp's OpenAI-compatible server",
        description="Runs llama.cpp's own server on a file that `gguf` wrote: /v1/completions, /v1/chat/completions, "
        "/v1/models and /health, until Ctrl-C. A model without a chat template continues the text of the messages.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("file", type=Path, help="GGUF file of `gguf`")
    parser.add_argument(
        "--host", default="127.0.0.1", help="name or address to listen on; any but this machine's own needs an API key"
    )
    parser.add_argument("--port", type=int, default=8080, help="to listen on; 0 takes a free one")
    parser.add_argument("--loops", type=int, help="depth; None takes the file's (others need a temporary copy of it)")
    parser.add_argument(
        "--api-key",
        help=f"what clients must send as a bearer token; None takes the environment's {KEY_VARIABLE}, which other "
        "users of this machine cannot see",
    )
    parser.add_argument("--context", type=int, help="tokens of a request; None takes the model's, at most 4096")
    parser.add_argument("--parallel", type=int, default=4, help="requests at a time; others wait")
    parser.add_argument("--threads", type=int, help="of the computation; None takes one per processor core")
    parser.set_defaults(run=_serve)


def _serve(options: argparse.Namespace) -> int:
    from model_cards.serving.llama_server import ServerSettings
    from model_cards.serving.serve import serve

    key = os.environ.get(KEY_VARIABLE) or None if options.api_key is None else options.api_key
    settings = ServerSettings(
        host=options.host,
        port=options.port,
        api_key=key,
        context=options.context,
        parallel=options.parallel,
        threads=options.threads,
        loops=options.loops,
    )
    return serve(options.file, settings)


def add_chat(subcommands):
    """Adds the subcommand `chat`."""
    parser = subcommands.add_parser(
        "chat",
        help="let a model continue Rust in the terminal",
        description="Continues prompts that are typed, or one from --prompt or standard input, and stops where the "
        "function ends. Prints prompt and answer; what the compiler says goes to standard error. Exit status 1: the "
        "answer to one prompt does not compile.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("model", help="GGUF file (runs in llama.cpp), or folder or Hub name of a saved model")
    parser.add_argument("--prompt", help="text to continue; None reads standard input, or asks in a terminal")
    parser.add_argument("--verify", action="store_true", help="compile each answer in the sandbox")
    parser.add_argument(
        "--best-of",
        type=int,
        metavar="N",
        help="draw up to so many samples and show the first that compiles; wants a temperature of about 0.8",
    )
    parser.add_argument("--temperature", type=float, default=0.2, help="0 always takes the likeliest token")
    parser.add_argument("--top-p", type=float, default=0.95, help="smallest share of the probability that is kept")
    parser.add_argument("--max-new-tokens", type=int, default=512, help="tokens of an answer at most")
    parser.add_argument("--seed", type=int, default=0, help="of the drawing; counted up with each sample")
    parser.add_argument("--loops", type=int, help="depth; None takes the model's own")
    parser.set_defaults(run=_chat)


def _chat(options: argparse.Namespace) -> int:
    from model_cards.serving.chat import ChatSettings, chat
    from model_cards.serving.text_engine import Decoding

    settings = ChatSettings(
        decoding=Decoding(options.temperature, options.top_p, options.max_new_tokens),
        seed=options.seed,
        loops=options.loops,
        verify=options.verify,
        best_of=options.best_of,
    )
    return chat(options.model, options.prompt, settings)
