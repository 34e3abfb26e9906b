"""The commands of `nanochat-ternary`: a line for each, with the function that adds its options."""

from importlib import import_module
from typing import Any, NamedTuple


class Command(NamedTuple):
    """
    A command.

    Attributes:
        help: One line in the list of commands.
        target: "module:function"; the function adds the command to argparse's subcommands. Imported when it is needed.
    """

    help: str
    target: str

    def add(self, subcommands: Any) -> None:
        """Add the command with its options."""
        module, _, function = self.target.partition(":")
        getattr(import_module(module), function)(subcommands)


class Group(NamedTuple):
    """
    Commands under one word.

    Attributes:
        help: One line in the list of commands.
        commands: By name.
    """

    help: str
    commands: dict[str, Command]


COMMANDS: dict[str, Command | Group] = {
    "recipes": Command("list the recipes with their sizes", "recipes.__main__:add_recipes"),
    "train": Command("train a model by a recipe", "recipes.pipeline.program:add_train"),
    "data": Group(
        "prepare, generate, rewrite and inspect training data",
        {
            "prepare": Command("prepare the data of a recipe", "recipes.pipeline.prepare_command:add_prepare"),
            "inspect": Command("show a prepared data set", "trainers.data.preparation.command_line:add_inspect"),
            "card": Command(
                "write the card of a prepared data set, and publish it", "recipes.data_card.command_line:add_card"
            ),
            "synth": Command("generate verified samples or tasks", "trainers.data.command_line:add_synth"),
            "augment": Command("rewrite programs into verified variants", "trainers.data.command_line:add_augment"),
            "holes": Command("make tasks from functions of real crates", "trainers.data.tasks.command_line:add_holes"),
            "check-tasks": Command(
                "check your own tasks for reinforcement learning", "trainers.data.tasks.command_line:add_check_tasks"
            ),
            "report": Command("report the diversity of samples", "trainers.data.command_line:add_report"),
            "sources": Command("list the kinds of sources", "trainers.data.sources_command:add_sources"),
            "fetch": Command("download crates with their dependencies", "trainers.data.sources_command:add_fetch"),
        },
    ),
    "verify": Command("verify Rust files with the compiler", "evaluation.rust.command_line:add_verify"),
    "doctor": Command("check the compiler and the sandbox", "evaluation.rust.command_line:add_doctor"),
    "serve-judge": Command(
        "judge Rust for other machines, over HTTP", "evaluation.rust.service.command_line:add_serve_judge"
    ),
    "eval": Group(
        "evaluate models and compare results",
        {
            "run": Command("run benchmarks on a model", "evaluation.command_line:add_run"),
            "compare": Command("compare results of the same benchmarks", "evaluation.command_line:add_compare"),
            "report": Command("show the results in a folder", "evaluation.command_line:add_report"),
        },
    ),
    "complete": Command("continue a prompt with a saved model", "evaluation.command_line:add_complete"),
    "pack": Command("pack ternary weights into 2 bits", "model_cards.packed.command_line:add_pack"),
    "gguf": Command("export a model for llama.cpp", "model_cards.gguf.command_line:add_gguf"),
    "serve": Command("serve a model with an OpenAI-compatible server", "model_cards.serving.command_line:add_serve"),
    "chat": Command("chat with a model in the terminal", "model_cards.serving.command_line:add_chat"),
    "card": Command("write a model card", "model_cards.card.command_line:add_card"),
    "publish": Command("publish a model on the Hub", "model_cards.hub.command_line:add_publish"),
    "convert": Command("convert a Llama, Qwen or Ouro to a LoopLM", "trainers.conversion.command:add_convert"),
    "loop": Command("loop layers of a model with one loop", "trainers.conversion.loop_command:add_loop"),
    "ternarize": Command(
        "make a ternary model of a float LoopLM", "trainers.conversion.ternarize_command:add_ternarize"
    ),
}
