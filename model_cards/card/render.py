"""
Model cards, for a model and for its GGUF files. All numbers are counted from the model, or read from results files
and from the folder of the training run; the templates contain none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from evaluation.results import Results
from model_cards.card.metadata import Publication, metadata_problems
from model_cards.card.results import benchmark_rows, commands, eval_results, speeds, verdicts, versions
from model_cards.card.rust_usage import oldest_rust, rust_usage
from model_cards.card.training_record import TrainingRecord
from model_cards.gguf.limits import exported_loops
from model_cards.gguf.verify import Agreement
from model_cards.model_statistics import ModelStatistics

TEMPLATES = Path(__file__).with_name("templates")
LINKS = {
    "ouro": "https://arxiv.org/abs/2510.25741",
    "bitnet": "https://arxiv.org/abs/2402.17764",
    "mhc": "https://arxiv.org/abs/2601.05732",
}
# Code, and the English of its comments.
LANGUAGES = ["code", "en"]
INTERVAL = "95% confidence interval"
PROMPT = "/// Returns the larger of two numbers.\\nfn larger(a: i32, b: i32) -> i32 {"
"""Without white space at its end: in the training text that is one token with what follows."""
LLAMA_CPP = "a build of July 2026 or newer"
# According to the sources of the backends, November 2026; only the CPU was tested.
BACKENDS = {
    "q2_0": "CUDA, Metal, Vulkan, SYCL, ARM; slow on x86",
    "tq2_0": "x86, ARM, Metal, Vulkan, SYCL; not CUDA",
    "tq1_0": "x86, ARM; not CUDA",
}


@dataclass(frozen=True)
class VerifiedGguf:
    """A GGUF file that was compared with the model in llama.cpp: file name, type of the matrices, size, and result."""

    name: str
    type: str
    nbytes: int
    agreement: Agreement


@dataclass(frozen=True)
class CardContents:
    """
    What a model card reports.

    Attributes:
        publication: Repository, license, and other statements of the publisher.
        statistics: Counted from the model.
        results: Benchmark results of this model, see [`read_results`].
        training: The training run; empty when it is not known.
        gguf_files: GGUF files of the model.
        gguf_note: Sentence about llama.cpp when there are no GGUF files.
    """

    publication: Publication
    statistics: ModelStatistics
    results: Sequence[Results] = ()
    training: TrainingRecord = field(default_factory=TrainingRecord)
    gguf_files: Sequence[VerifiedGguf] = ()
    gguf_note: str = ""


def render_model_card(contents: CardContents) -> ModelCard:
    """Render the card of a model; raises ValueError when the Hub would refuse its metadata."""
    publication, statistics, results = contents.publication, contents.statistics, contents.results
    config = statistics.config
    evaluated = eval_results(results)
    samples = any(each.verdicts for each in results)
    rewarded = contents.training.rewarded
    tags = ["rust", "code", "code-generation", "looplm", *(["ternary", "bitnet"] if config.ternary else [])]
    data = ModelCardData(
        license=publication.license,
        language=LANGUAGES,
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=[*tags, *(["compiler-verified"] if rewarded else [])],
        base_model=publication.base_model,
        datasets=list(publication.datasets) or None,
        metrics=["code_eval"] if samples else None,
        model_name=publication.name,
        eval_results=evaluated or None,
    )
    if not evaluated:
        # Only the model-index uses the name.
        data.model_name = None
    group_size = config.ternary_group_size
    last_loop = f"bits_per_byte_loop_{config.num_loops}"
    return _render(
        data,
        "model_card.md",
        name=publication.name,
        repo=publication.repo,
        links=LINKS,
        config=config,
        parameters=f"{statistics.parameters:,}",
        ternary_share=f"{statistics.ternary_share:.1%}",
        groups="a whole matrix" if group_size == -1 else f"{group_size} weights",
        rewarded=rewarded,
        gguf_files=contents.gguf_files,
        specifications=_specifications(statistics, contents.gguf_files),
        benchmark_rows=benchmark_rows(results),
        interval=INTERVAL,
        measured=bool(evaluated),
        verdicts=verdicts(results),
        versions=versions(results),
        commands=commands(results, publication.repo),
        speeds=speeds(results),
        weight_size=_size(statistics.weight_bytes),
        memory_note=_memory_note(statistics),
        cache_size=f"{statistics.cache_bytes_per_token / 1e3:,.1f} kB",
        requirement=tested_transformers(),
        python_usage=python_usage(publication.repo, exported_loops(config)),
        llama_cpp=LLAMA_CPP,
        llama_usage=llama_usage(publication, contents.gguf_files),
        rust_usage=rust_usage(PROMPT),
        oldest_rust=oldest_rust(),
        gguf_note=contents.gguf_note,
        training=contents.training.lines,
        max_position_embeddings=f"{config.max_position_embeddings:,}",
        depth_measured=config.num_loops > 1 and any(last_loop in each.metrics for each in results),
        base_model=publication.base_model,
        license=publication.license,
    )


def render_gguf_card(
    publication: Publication, statistics: ModelStatistics, files: Sequence[VerifiedGguf]
) -> ModelCard:
    """Render the card of a model's GGUF files; raises ValueError when the Hub would refuse its metadata."""
    loops = exported_loops(statistics.config)
    data = ModelCardData(
        license=publication.license,
        language=LANGUAGES,
        library_name="gguf",
        pipeline_tag="text-generation",
        tags=["gguf", "llama.cpp", "rust", "code", "looplm", *(["ternary"] if statistics.config.ternary else [])],
        base_model=publication.repo,
        base_model_relation="quantized",
    )
    file_rows = [
        {
            "name": file.name,
            "size": _size(file.nbytes),
            "bits": f"{8 * file.nbytes / statistics.parameters:.2f}",
            "kl": f"{file.agreement.kl:.1e}",
            "same": f"{file.agreement.top1:.1%}",
            "positions": file.agreement.positions,
            "backends": BACKENDS.get(file.type, "all"),
        }
        for file in files
    ]
    return _render(
        data,
        "gguf_card.md",
        name=publication.name,
        repo=publication.repo,
        config=statistics.config,
        parameters=f"{statistics.parameters:,}",
        loops=loops,
        fewer_loops=max(1, loops // 2),
        files=file_rows,
        llama_cpp=LLAMA_CPP,
        engine=f"xllamacpp {version('xllamacpp')}",
        llama_usage=llama_usage(publication, files),
    )


def _render(data: ModelCardData, template: str, **values: object) -> ModelCard:
    card = ModelCard.from_template(data, template_path=str(TEMPLATES / template), **values)
    problems = metadata_problems(card)
    if problems:
        raise ValueError("the Hub would refuse the metadata of the card:\n" + "\n".join(problems))
    return card


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e9:,.2f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:,.2f} MB"


def _memory_note(statistics: ModelStatistics) -> str:
    if not statistics.config.ternary or statistics.config.weight_format != "latent":
        return ""
    return f" (latent weights in {', '.join(statistics.dtypes)}, quantized in every forward pass)"


def _specifications(statistics: ModelStatistics, files: Sequence[VerifiedGguf]) -> list[tuple[str, str]]:
    config = statistics.config
    heads = (
        f"{config.num_attention_heads} heads of {config.head_dim}, {config.num_key_value_heads} for keys and values"
    )
    found = [
        ("Parameters", f"{statistics.parameters:,}"),
        (
            "Layers",
            f"{config.stack_in_words()} = {config.num_hidden_layers} applied",
        ),
        ("Hidden size", f"{config.hidden_size:,}, feed-forward {config.intermediate_size:,}"),
        ("Attention", heads),
        ("Vocabulary", f"{config.vocab_size:,} tokens{', head tied' if config.tie_word_embeddings else ''}"),
        ("Context", f"{config.max_position_embeddings:,} tokens"),
        ("Residual streams", f"{config.mhc_num_streams}"),
    ]
    if config.exit_at_loop is not None:
        found.append(("Exit", f"always after loop {config.exit_at_loop}, unless set otherwise"))
    if config.exit_threshold < 1:
        found.append(("Exit", f"early, at threshold {config.exit_threshold:g}, unless set otherwise"))
    if config.kv_reuse == "last":
        found.append(("Key-value cache", "of the last loop only, after the prompt"))
    if config.ternary:
        found += [
            ("Ternary parameters", f"{statistics.ternary_parameters:,} ({statistics.ternary_share:.1%})"),
            (
                "Bits per ternary weight",
                f"{statistics.bits_per_ternary_weight:.2f} (information content, with its share of the scale)",
            ),
        ]
    bits = 8 * statistics.weight_bytes / statistics.parameters
    stored = f"{_size(statistics.weight_bytes)}, {bits:.2f} bits per parameter ({', '.join(statistics.dtypes)})"
    found.append(("Weights in safetensors", stored))
    for file in files:
        bits = 8 * file.nbytes / statistics.parameters
        found.append((f"GGUF, {file.type}", f"{_size(file.nbytes)}, {bits:.2f} bits per parameter"))
    return found


def tested_transformers() -> str:
    """Return the requirement for the versions of transformers that this project is tested with."""
    try:
        (requirement,) = (each for each in requires("nanochat-ternary") or () if each.startswith("transformers"))
    except PackageNotFoundError:
        return f"transformers=={version('transformers')}"
    # Sorted so that the lower bound comes first.
    bounds = sorted(requirement.removeprefix("transformers").split(","), reverse=True)
    return f"transformers{','.join(bounds)}"


def python_usage(name: str, num_loops: int) -> str:
    """Return a program that loads the model by its own code and continues a prompt, with all loops and with fewer."""
    lines = [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{name}", trust_remote_code=True)',
        f'model = AutoModelForCausalLM.from_pretrained("{name}", trust_remote_code=True)',
        f'inputs = tokenizer("{PROMPT}", return_tensors="pt")',
        "tokens = model.generate(**inputs, max_new_tokens=64)",
        "print(tokenizer.decode(tokens[0], skip_special_tokens=True))",
    ]
    if num_loops > 1:
        fewer = max(1, num_loops // 2)
        lines += [
            "",
            f"# Faster: only {fewer} of the {num_loops} loops, or only the first one.",
            f"tokens = model.generate(**inputs, max_new_tokens=64, exit_at_loop={fewer})",
            "logits = model(**inputs, exit_at_loop=1).logits",
        ]
    return "\n".join(lines)


def llama_usage(publication: Publication, files: Sequence[VerifiedGguf]) -> str:
    """Return commands that download the first file, serve it and send a request; empty without files."""
    if not files:
        return ""
    name = files[0].name
    return (
        f"hf download {publication.gguf_repo} {name} --local-dir .\n"
        f"llama-server -m {name} &\n"
        "curl http://127.0.0.1:8080/v1/completions -H 'Content-Type: application/json' \\\n"
        f"""  -d '{{"prompt": "{PROMPT}", "max_tokens": 64}}'"""
    )
