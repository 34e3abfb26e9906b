"""
The metadata of a model card, and the Hub's rules for it. The Hub checks them again before it accepts an upload.

Source: huggingface/hub-docs: modelcard.md and docs/hub/model-cards.md, docs/hub/repositories-licenses.md.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from huggingface_hub import ModelCard
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

LICENSES = (
    "apache-2.0",
    "mit",
    "openrail",
    "bigscience-openrail-m",
    "creativeml-openrail-m",
    "bigcode-openrail-m",
    "afl-3.0",
    "artistic-2.0",
    "bsl-1.0",
    "bsd",
    "bsd-2-clause",
    "bsd-3-clause",
    "bsd-3-clause-clear",
    "cc",
    "cc0-1.0",
    "cc-by-2.0",
    "cc-by-2.5",
    "cc-by-3.0",
    "cc-by-4.0",
    "cc-by-sa-3.0",
    "cc-by-sa-4.0",
    "cc-by-nc-2.0",
    "cc-by-nc-3.0",
    "cc-by-nc-4.0",
    "cc-by-nd-4.0",
    "cc-by-nc-nd-3.0",
    "cc-by-nc-nd-4.0",
    "cc-by-nc-sa-2.0",
    "cc-by-nc-sa-3.0",
    "cc-by-nc-sa-4.0",
    "c-uda",
    "cdla-sharing-1.0",
    "cdla-permissive-1.0",
    "cdla-permissive-2.0",
    "wtfpl",
    "ecl-2.0",
    "epl-1.0",
    "epl-2.0",
    "eupl-1.1",
    "agpl-3.0",
    "gfdl",
    "gpl",
    "gpl-2.0",
    "gpl-3.0",
    "lgpl",
    "lgpl-2.1",
    "lgpl-3.0",
    "isc",
    "lppl-1.3c",
    "ms-pl",
    "mpl-2.0",
    "odc-by",
    "odbl",
    "osl-3.0",
    "postgresql",
    "ofl-1.1",
    "ncsa",
    "unlicense",
    "zlib",
    "pddl",
)
# Metrics of https://huggingface.co/metrics for code models; other metrics belong in the model-index.
METRICS = ("accuracy", "code_eval", "perplexity")
RELATIONS = ("adapter", "merge", "quantized", "finetune")
LIBRARIES = ("transformers", "gguf")
_LANGUAGE = re.compile(r"[a-z]{2,3}|code|multilingual")


@dataclass(frozen=True)
class Publication:
    """
    What the publisher of a model states about it.

    Attributes:
        repo: Repository on the Hub, "user/name".
        license: Identifier of a license on the Hub.
        datasets: Datasets on the Hub that the model was trained on.
        base_model: Model on the Hub that it was made from.

    Raises:
        ValueError: The Hub would refuse a value.
    """

    repo: str
    license: str = "mit"
    datasets: tuple[str, ...] = ()
    base_model: str | None = None

    def __post_init__(self):
        check_repo(self.repo, "repo")
        if self.license not in LICENSES:
            raise ValueError(
                f"license must be an identifier of the Hub, such as mit or apache-2.0, got {self.license!r}"
            )
        for name in self.datasets:
            check_repo(name, "datasets", owned=False)
        if self.base_model is not None:
            check_repo(self.base_model, "base_model", owned=False)

    @property
    def name(self) -> str:
        """Name of the repository without the user."""
        return self.repo.split("/")[-1]

    @property
    def gguf_repo(self) -> str:
        """Repository of the GGUF files."""
        return f"{self.repo}-GGUF"


def check_repo(name: str, field: str, owned: bool = True) -> None:
    """
    Raise ValueError unless this is a valid name of a repository.

    Args:
        name: The name to check.
        field: Name of the setting, for the message.
        owned: The name must be "user/name"; otherwise names without a user, as old repositories have, are valid, too.
    """
    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise ValueError(f"{field} must be a repository on the Hub, got {name!r}: {error}") from error
    if owned and name.count("/") != 1:
        raise ValueError(f"{field} must be user/name, got {name!r}")


def metadata_problems(card: ModelCard) -> list[str]:
    """List what the Hub would refuse or misunderstand in the metadata of a card, a sentence each."""
    data = card.data.to_dict()
    found = []

    def need(holds: bool, field: str, rule: str):
        if not holds:
            found.append(f"{field} must be {rule}, got {data.get(field)!r}")

    def names(field: str) -> list[Any]:
        value = data.get(field)
        return [] if value is None else value if isinstance(value, list) else [value]

    need(data.get("license") in LICENSES, "license", "an identifier of the Hub, such as mit")
    need(data.get("library_name") in LIBRARIES, "library_name", "transformers or gguf")
    need(data.get("pipeline_tag") == "text-generation", "pipeline_tag", "text-generation")
    languages_hold = all(isinstance(each, str) and _LANGUAGE.fullmatch(each) for each in names("language"))
    need(bool(names("language")) and languages_hold, "language", "ISO 639 codes, code or multilingual")
    need(all(isinstance(each, str) and each for each in names("tags")), "tags", "strings")
    need(all(each in METRICS for each in names("metrics")), "metrics", f"among {', '.join(METRICS)}")
    for field in ("datasets", "base_model"):
        for name in names(field):
            try:
                check_repo(name, field, owned=False)
            except ValueError as error:
                found.append(str(error))
    relation = data.get("base_model_relation")
    need(relation in (None, *RELATIONS), "base_model_relation", f"one of {', '.join(RELATIONS)}")
    if relation is not None:
        need(bool(names("base_model")), "base_model", "given beside base_model_relation")
    for entry in data.get("model-index", []):
        for result in entry["results"]:
            for metric in result["metrics"]:
                value = metric["value"]
                if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                    found.append(f"model-index: {metric['type']} must be a finite number, got {value!r}")
    return found
