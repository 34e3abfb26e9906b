"""The options of the commands `serve` and `chat`."""

import argparse
import os
from pathlib import Path

from evaluation.generation_settings import ENGINES
from evaluation.options import add_command, add_former_name, add_model, add_num_loops, add_seed

KEY_VARIABLE = "LLAMA_API_KEY"


def add_serve(subcommands):
    """Add the subcommand `serve`."""
    parser = add_command(
        subcommands,
        "serve",
        _serve,
        help="serve a GGUF file or a saved model with an OpenAI-compatible server",
        description="Run an OpenAI-compatible server until Ctrl-C: /v1/completions, /v1/chat/completions, /v1/models "
        "and /health. A GGUF file that the command gguf wrote runs in llama.cpp, the folder or Hub name of a saved "
        "LoopLM in the native engine on the CPU, which compiles itself with rustc at its first use. Requests with "
        "fields that the engine would ignore are refused. For a model without a chat template, /v1/chat/completions "
        "continues the text of the messages.",
    )
    model = add_model(
        parser,
        help="GGUF file (runs in llama.cpp), or folder or Hub name of a saved LoopLM (runs in the native engine)",
    )
    parser.add_argument(
        "--host",
        default="127.0.0.1",
        help="name or address to listen on; one that other machines can reach needs an API key",
    )
    parser.add_argument("--port", type=int, default=8080, help="port to listen on; 0 is a free one")
    num_loops = parser.add_argument(
        "--num-loops",
        type=int,
        help="number of loops; another number than a GGUF file's needs a temporary copy of it (default: the model's)",
    )
    parser.add_argument(
        "--exit-threshold",
        type=float,
        help="a token leaves the loops when its probability to have left reaches this, from the exit gate; not for "
        "GGUF files (default: the model's)",
    )
    parser.add_argument(
        "--chat-template",
        metavar="FILE",
        help="Jinja template for /v1/chat/completions; must render a conversation (default: the model's)",
    )
    parser.add_argument(
        "--api-key",
        help=f"bearer token that clients must send; other users of this machine can see it here, but not in the "
        f"environment variable {KEY_VARIABLE} (default: {KEY_VARIABLE}, if it is set)",
    )
    context_length = parser.add_argument(
        "--context-length",
        type=int,
        help="maximum number of tokens of a request, prompt and completion together (default: the model's maximum or "
        "4096, whichever is smaller)",
    )
    parser.add_argument(
        "--parallel", type=int, default=4, help="requests that are processed at the same time; others wait"
    )
    num_threads = parser.add_argument("--num-threads", type=int, help="threads (default: one per processor core)")
    add_former_name(parser, "file", model)
    add_former_name(parser, "--loops", num_loops)
    add_former_name(parser, "--context", context_length)
    add_former_name(parser, "--threads", num_threads)


def _serve(options: argparse.Namespace) -> int:
    from evaluation.models.llama_server import ServerSettings
    from model_cards.serving.serve import ServeOptions, serve

    key = os.environ.get(KEY_VARIABLE) or None if options.api_key is None else options.api_key
    settings = ServerSettings(
        host=options.host,
        port=options.port,
        api_key=key,
        context_length=options.context_length,
        parallel=options.parallel,
        num_threads=options.num_threads,
    )
    template = None if options.chat_template is None else Path(options.chat_template)
    return serve(ServeOptions(options.model, settings, options.num_loops, options.exit_threshold, template))


def add_chat(subcommands):
    """Add the subcommand `chat`."""
    parser = add_command(
        subcommands,
        "chat",
        _chat,
        help="let a model continue Rust in the terminal",
        description="Continue prompts that are typed into the terminal, or one from --prompt or standard input, up to "
        "the end of the function. Prompt and answer go to standard output, messages of the compiler to standard "
        "error. Exit status 1: the answer to the one prompt does not compile.",
    )
    model = add_model(
        parser, help="GGUF file (runs in llama.cpp), or folder or Hub name of a saved model (runs in transformers)"
    )
    parser.add_argument("--prompt", help="text to continue (default: standard input, or ask in a terminal)")
    parser.add_argument("--verify", action="store_true", help="compile each answer in the sandbox")
    parser.add_argument(
        "--best-of",
        type=int,
        metavar="N",
        help="generate at most N samples and print the first that compiles; use a temperature of about 0.8 (default: "
        "print one sample as it is generated)",
    )
    parser.add_argument("--temperature", type=float, default=0.2, help="0 is greedy decoding")
    parser.add_argument("--top-p", type=float, default=0.95, help="probability mass kept by nucleus sampling")
    parser.add_argument("--max-new-tokens", type=int, default=512, help="maximum number of tokens of an answer")
    parser.add_argument(
        "--engine",
        choices=ENGINES,
        default="torch",
        help="program that runs a folder or a model on the Hub: torch, or native, which runs a LoopLM on the CPU many "
        "times faster and compiles itself with rustc at its first use",
    )
    add_seed(parser, help="seed of the sampling; each further sample has the next number")
    num_loops = add_num_loops(parser)
    add_former_name(parser, "model", model)
    add_former_name(parser, "--loops", num_loops)


def _chat(options: argparse.Namespace) -> int:
    from evaluation.token_sampling import TokenSampling
    from model_cards.serving.chat import ChatSettings, chat

    settings = ChatSettings(
        sampling=TokenSampling(options.temperature, options.top_p, options.max_new_tokens),
        seed=options.seed,
        num_loops=options.num_loops,
        verify=options.verify,
        best_of=options.best_of,
        engine=options.engine,
    )
    return chat(options.model, options.prompt, settings)
