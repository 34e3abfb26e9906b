"""Imports follow the data's way through the house, and the model's folder stands on its own."""

import ast
import sys
from graphlib import TopologicalSorter

import pytest

from tests.helpers.paths import ROOT

ALLOWED = {
    "modeling_nanochat": set(),
    "evaluation": {"modeling_nanochat"},
    "trainers": {"modeling_nanochat", "evaluation"},
    "model_cards": {"modeling_nanochat", "evaluation"},
    "recipes": {"modeling_nanochat", "evaluation", "trainers", "model_cards"},
}
RUST = "evaluation.rust."
ALLOWED_IN_RUST = {
    "verdict": set(),
    "sandbox": set(),
    "syntax": {"verdict"},
    "rustc": {"verdict", "sandbox", "syntax"},
    "judge": {"verdict", "sandbox", "syntax", "rustc"},
    "cache": {"verdict"},
    "arguments": {"judge"},
    "verifier": {"verdict", "sandbox", "rustc", "judge", "cache", "arguments"},
    "command_line": {"verdict", "sandbox", "rustc", "judge", "cache", "verifier"},
}
OPTIONAL = {"gguf", "xllamacpp", "trackio", "tensorboard", "datatrove", "pytest", "hypothesis", "ruff"}


def imports(path):
    """(level, module, names) of every import statement in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module, [alias.name for alias in node.names]


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package):
    for path in (ROOT / package).rglob("*.py"):
        for level, module, _ in imports(path):
            top = (module or "").split(".")[0]
            forbidden = top in ALLOWED.keys() - ALLOWED[package] - {package}
            assert level > 0 or not forbidden, f"{path.relative_to(ROOT)} imports {module}"


def imports_in_rust():
    """(module, imported module) of every import within the verifier, both without `evaluation.rust.`."""
    folder = ROOT / "evaluation" / "rust"
    for path in folder.rglob("*.py"):
        module = ".".join(path.relative_to(folder).with_suffix("").parts)
        for _, imported, names in imports(path):
            if (imported or "").startswith(RUST) and path.name != "__init__.py":
                imported = imported.removeprefix(RUST)
                modules = [f"{imported}.{name}" for name in names if (folder / imported / f"{name}.py").exists()]
                yield from ((module, each) for each in modules or [imported])


def test_imports_within_the_verifier_go_one_way_and_never_in_a_circle():
    found = {}
    for module, imported in imports_in_rust():
        room, other = module.split(".")[0], imported.split(".")[0]
        assert other == room or other in ALLOWED_IN_RUST[room], f"evaluation.rust.{module} imports {imported}"
        found.setdefault(module, set()).add(imported)
    assert {module.split(".")[0] for module in found} == ALLOWED_IN_RUST.keys() - {"verdict"}
    TopologicalSorter(found).prepare()


def test_the_models_folder_is_flat_and_imports_itself_only_as_the_hub_can_follow():
    folder = ROOT / "modeling_nanochat"
    assert [entry.name for entry in folder.iterdir() if entry.is_dir() and entry.name != "__pycache__"] == []
    required = {"torch", "transformers"} | set(sys.stdlib_module_names)
    for path in folder.glob("*.py"):
        for level, module, names in imports(path):
            if level:
                # The copier follows `from .name import X` only.
                assert level == 1 and module and "." not in module and names, f"{path.name}: {module}"
                assert (folder / f"{module}.py").exists()
            else:
                assert module.split(".")[0] in required, f"{path.name} imports {module}"


def test_optional_packages_are_never_imported_with_a_module():
    for package in ALLOWED:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.parse(path.read_text()).body:
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                assert OPTIONAL.isdisjoint(name.split(".")[0] for name in names), path
