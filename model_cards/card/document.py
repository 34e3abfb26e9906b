"""
Model cards, for a model and for its GGUF files. What a card says is counted from the model, read from results files or
from the run that trained it; the templates hold no numbers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from huggingface_hub import ModelCard, ModelCardData

from evaluation.results import Results
from model_cards.card.counted import Counted
from model_cards.card.metadata import problems
from model_cards.card.results import commands, eval_results, rows, speeds, verdicts, versions
from model_cards.card.training_record import NOT_RECORDED, TrainingRecord
from model_cards.gguf.limits import exported_loops
from model_cards.gguf.verify import Agreement

TEMPLATES = Path(__file__).with_name("templates")
LINKS = {
    "ouro": "https://arxiv.org/abs/2510.25741",
    "bitnet": "https://arxiv.org/abs/2402.17764",
    "mhc": "https://arxiv.org/abs/2601.05732",
}
INTERVAL = "95 % interval"
PROMPT = "/// Returns the larger of two numbers.\\nfn larger(a: i32, b: i32) -> i32 {\\n"
LLAMA_CPP = "a build of July 2026 or newer"
# As their sources say, November 2026; only the processor was tested.
BACKENDS = {
    "q2_0": "CUDA, Metal, Vulkan, SYCL, ARM; slow on x86",
    "tq2_0": "x86, ARM, Metal, Vulkan, SYCL; not CUDA",
    "tq1_0": "x86, ARM; not CUDA",
}


@dataclass(frozen=True)
class Publication:
    """
    What is said of a model by the one who publishes it.

    Attributes:
        repo: "user/name".
        license: Identifier of the Hub.
        datasets: Data sets of the Hub it was trained on.
        base_model: Model of the Hub it was made from.
    """

    repo: str
    license: str = "mit"
    datasets: tuple[str, ...] = ()
    base_model: str | None = None

    @property
    def name(self) -> str:
        """Without the user."""
        return self.repo.split("/")[-1]

    @property
    def gguf_repo(self) -> str:
        """Of the GGUF files."""
        return f"{self.repo}-GGUF"


@dataclass(frozen=True)
class GgufRelease:
    """A verified GGUF file: its name, the type of its matrices, its size, and how far llama.cpp agrees."""

    name: str
    type: str
    nbytes: int
    agreement: Agreement


def model_card(
    publication: Publication,
    counted: Counted,
    results: Sequence[Results],
    record: TrainingRecord | None,
    gguf: Sequence[GgufRelease] | str,
) -> ModelCard:
    """
    The card of a model.

    Args:
        results: Of this model, see [`read_results`].
        record: Of its training.
        gguf: Its GGUF files, or what to say instead.

    Raises:
        ValueError: The Hub would refuse the metadata.
    """
    config = counted.config
    evaluated = eval_results(results)
    samples = any(each.verdicts for each in results)
    reinforced = None if record is None else record.reinforced
    tags = ["rust", "code", "code-generation", "looplm", *(["ternary", "bitnet"] if config.ternary else [])]
    data = ModelCardData(
        license=publication.license,
        language=["code"],
        library_name="transformers",
        pipeline_tag="text-generation",
        tags=[*tags, *(["compiler-verified"] if reinforced else [])],
        base_model=publication.base_model,
        datasets=list(publication.datasets) or None,
        metrics=["code_eval"] if samples else None,
        model_name=publication.name,
        eval_results=evaluated or None,
    )
    if not evaluated:
        # Only the model-index has a use for the name.
        data.model_name = None
    files = () if isinstance(gguf, str) else gguf
    group_size = config.ternary_group_size
    return _rendered(
        data,
        "model_card.md",
        name=publication.name,
        repo=publication.repo,
        links=LINKS,
        config=config,
        parameters=f"{counted.parameters:,}",
        ternary_share=f"{counted.ternary_share:.1%}",
        groups="a whole matrix" if group_size == -1 else f"{group_size} weights",
        reinforced=reinforced,
        gguf_files=files,
        specifications=_specifications(counted, files),
        rows=rows(results),
        interval=INTERVAL,
        measured=bool(evaluated),
        verdicts=verdicts(results),
        versions=versions(results),
        commands=commands(results, publication.repo),
        speeds=speeds(results),
        weight_size=_size(counted.weight_bytes),
        memory_note=_memory_note(counted),
        cache_size=f"{counted.cache_bytes_per_token / 1e3:,.1f} kB",
        requirement=tested_transformers(),
        python_usage=python_usage(publication.repo, exported_loops(config)),
        llama_cpp=LLAMA_CPP,
        llama_usage=llama_usage(publication, files),
        gguf_note=gguf,
        training=record.lines if record is not None else {"Training data": NOT_RECORDED, "Training": NOT_RECORDED},
        context=f"{config.max_position_embeddings:,}",
        depth_measured=config.num_loops > 1
        and any(f"bits_per_byte_loop_{config.num_loops}" in each.metrics for each in results),
        base_model=publication.base_model,
        license=publication.license,
    )


def gguf_card(publication: Publication, counted: Counted, files: Sequence[GgufRelease]) -> ModelCard:
    """The card of a model's GGUF files; raises ValueError when the Hub would refuse its metadata."""
    loops = exported_loops(counted.config)
    data = ModelCardData(
        license=publication.license,
        language=["code"],
        library_name="gguf",
        pipeline_tag="text-generation",
        tags=["gguf", "llama.cpp", "rust", "code", "looplm", *(["ternary"] if counted.config.ternary else [])],
        base_model=publication.repo,
        base_model_relation="quantized",
    )
    rows = [
        {
            "name": file.name,
            "size": _size(file.nbytes),
            "bits": f"{8 * file.nbytes / counted.parameters:.2f}",
            "kl": f"{file.agreement.kl:.1e}",
            "same": f"{file.agreement.top1:.1%}",
            "positions": file.agreement.positions,
            "backends": BACKENDS.get(file.type, "all"),
        }
        for file in files
    ]
    return _rendered(
        data,
        "gguf_card.md",
        name=publication.name,
        repo=publication.repo,
        config=counted.config,
        parameters=f"{counted.parameters:,}",
        loops=loops,
        fewer_loops=max(1, loops // 2),
        files=rows,
        llama_cpp=LLAMA_CPP,
        engine=f"xllamacpp {version('xllamacpp')}",
        llama_usage=llama_usage(publication, files),
    )


def _rendered(data: ModelCardData, template: str, **values: object) -> ModelCard:
    card = ModelCard.from_template(data, template_path=str(TEMPLATES / template), **values)
    found = problems(card)
    if found:
        raise ValueError("the metadata of the card would be refused by the Hub:\n" + "\n".join(found))
    return card


def _size(nbytes: int) -> str:
    return f"{nbytes / 1e9:,.2f} GB" if nbytes >= 1e9 else f"{nbytes / 1e6:,.2f} MB"


def _memory_note(counted: Counted) -> str:
    if not counted.config.ternary or counted.config.weight_format != "latent":
        return ""
    return f" (float weights of {', '.join(counted.dtypes)}, made ternary in every pass)"


def _specifications(counted: Counted, files: Sequence[GgufRelease]) -> list[tuple[str, str]]:
    config = counted.config
    heads = (
        f"{config.num_attention_heads} heads of {config.head_dim}, {config.num_key_value_heads} for keys and values"
    )
    found = [
        ("Parameters", f"{counted.parameters:,}"),
        (
            "Layers",
            f"{config.num_shared_layers} shared x {config.num_loops} loops = {config.num_hidden_layers} applied",
        ),
        ("Width", f"{config.hidden_size:,}, feed-forward {config.intermediate_size:,}"),
        ("Attention", heads),
        ("Vocabulary", f"{config.vocab_size:,} tokens{', head tied' if config.tie_word_embeddings else ''}"),
        ("Context", f"{config.max_position_embeddings:,} tokens"),
        ("Residual streams", f"{config.mhc_num_streams}"),
    ]
    if config.exit_at_loop is not None:
        found.append(("Exit", f"always after loop {config.exit_at_loop}, unless asked otherwise"))
    if config.exit_threshold < 1:
        found.append(("Exit", f"early, at threshold {config.exit_threshold:g}, unless asked otherwise"))
    if config.kv_reuse == "last":
        found.append(("Keys and values", "of the last loop alone, after the prompt"))
    if config.ternary:
        found += [
            ("Ternary parameters", f"{counted.ternary_parameters:,} ({counted.ternary_share:.1%})"),
            (
                "Bits per ternary weight",
                f"{counted.bits_per_ternary_weight:.2f} with its scale, at best; as stored see the files",
            ),
        ]
    bits = 8 * counted.weight_bytes / counted.parameters
    stored = f"{_size(counted.weight_bytes)}, {bits:.2f} bits per parameter ({', '.join(counted.dtypes)})"
    found.append(("Weights in safetensors", stored))
    for file in files:
        bits = 8 * file.nbytes / counted.parameters
        found.append((f"GGUF, {file.type}", f"{_size(file.nbytes)}, {bits:.2f} bits per parameter"))
    return found


def tested_transformers() -> str:
    """The range of transformers that this project is tested with."""
    try:
        (requirement,) = (each for each in requires("nanochat-ternary") or () if each.startswith("transformers"))
    except PackageNotFoundError:
        return f"transformers=={version('transformers')}"
    # The lower bound first.
    bounds = sorted(requirement.removeprefix("transformers").split(","), reverse=True)
    return f"transformers{','.join(bounds)}"


def python_usage(name: str, loops: int) -> str:
    """A program that loads the model by its own code and continues a prompt, at `loops` and at less."""
    lines = [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        f'tokenizer = AutoTokenizer.from_pretrained("{name}", trust_remote_code=True)',
        f'model = AutoModelForCausalLM.from_pretrained("{name}", trust_remote_code=True)',
        f'inputs = tokenizer("{PROMPT}", return_tensors="pt")',
        "tokens = model.generate(**inputs, max_new_tokens=64)",
        "print(tokenizer.decode(tokens[0], skip_special_tokens=True))",
    ]
    if loops > 1:
        fewer = max(1, loops // 2)
        lines += [
            "",
            f"# Cheaper: {fewer} of the {loops} loops; or stop after the first.",
            f"tokens = model.generate(**inputs, max_new_tokens=64, exit_at_loop={fewer})",
            "logits = model(**inputs, exit_at_loop=1).logits",
        ]
    return "\n".join(lines)


def llama_usage(publication: Publication, files: Sequence[GgufRelease]) -> str:
    """Commands that download the first file, serve it and ask it."""
    if not files:
        return ""
    name = files[0].name
    return (
        f"hf download {publication.gguf_repo} {name} --local-dir .\n"
        f"llama-server -m {name} &\n"
        "curl http://127.0.0.1:8080/v1/completions -H 'Content-Type: application/json' \\\n"
        f"""  -d '{{"prompt": "{PROMPT}", "max_tokens": 64}}'"""
    )
