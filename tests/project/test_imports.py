"""Imports follow the data's way through the house, and the model's folder stands on its own."""

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.helpers.packages import ALLOWED
from tests.helpers.paths import ROOT

# Rooms within a package: the other rooms of the package that each may import.
ROOMS = {
    "model_cards": set(),
    "model_cards.gguf": {"model_cards"},
    "model_cards.packed": {"model_cards"},
    "model_cards.serving": {"model_cards", "model_cards.gguf"},
    "model_cards.card": {"model_cards", "model_cards.gguf"},
    "model_cards.documents": {"model_cards", "model_cards.card"},
    "model_cards.snapshot": {"model_cards", "model_cards.card"},
    "model_cards.checklist": {
        "model_cards",
        "model_cards.gguf",
        "model_cards.card",
        "model_cards.documents",
        "model_cards.snapshot",
    },
    "model_cards.hub": {
        "model_cards",
        "model_cards.gguf",
        "model_cards.card",
        "model_cards.documents",
        "model_cards.snapshot",
        "model_cards.checklist",
    },
    "trainers": set(),
    "trainers.conversion": {"trainers"},
    "trainers.data": {"trainers"},
    "trainers.reinforcement": {"trainers", "trainers.data"},
    "trainers.distillation": {"trainers", "trainers.data"},
    "recipes.pipeline": set(),
    "recipes": {"recipes.pipeline"},
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
    "crates": {"verdict", "sandbox", "syntax", "rustc", "judge", "cache", "arguments"},
    "tests_text": {"judge", "crates"},
    "judging": {"verdict", "judge", "crates", "tests_text", "verifier"},
    "verifier_options": {"sandbox", "rustc", "verifier"},
    "service": {
        "verdict",
        "sandbox",
        "rustc",
        "judge",
        "arguments",
        "tests_text",
        "judging",
        "verifier_options",
    },
    "command_line": {"verdict", "sandbox", "rustc", "judge", "cache", "verifier_options"},
}
# The model's folder is copied to the Hub by itself, and imports none of the other packages. One function of it does:
# it looks for the native engine when `generate(engine="native")` is called, and raises a `ValueError` where there is
# none. No other import is against the order. That the model loads without it is tested in test_clean_process.py.
WHEN_CALLED = {("modeling_nanochat.generation_nanochat", "runtime.generation")}
OPTIONAL = {"gguf", "xllamacpp", "trackio", "tensorboard", "datatrove", "pytest", "hypothesis", "ruff"}
# Its classes are steps of datatrove; nothing else imports it.
OF_DATATROVE = "trainers.data.scale"


def imports(path):
    """(level, module, names) of every import statement in a file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name, []) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.level, node.module, [alias.name for alias in node.names]


def module_of(path: Path) -> str:
    """The dotted name of a file of the repository."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_of(path): path for package in ALLOWED for path in sorted((ROOT / package).rglob("*.py"))}


def imported_modules(name: str) -> set[str]:
    """This project's modules that a module imports when it is run, also inside of functions."""
    path, found = MODULES[name], set()
    package = name.split(".") if path.name == "__init__.py" else name.split(".")[:-1]
    waiting = [ast.parse(path.read_text())]
    while waiting:
        for node in ast.iter_child_nodes(waiting.pop()):
            if isinstance(node, ast.Import):
                found |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                above = package[: len(package) - node.level + 1] if node.level else []
                base = ".".join([*above, *filter(None, [node.module])])
                found |= {base} | {f"{base}.{alias.name}" for alias in node.names}
            elif not is_for_types(node):
                waiting.append(node)
    return {each for each in found & MODULES.keys() if (name, each) not in WHEN_CALLED} - {name}


def is_for_types(node: ast.AST) -> bool:
    """Whether a statement is `if TYPE_CHECKING:`, which does not run."""
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def room_of(module: str) -> str:
    """The room a module is in: the longest of `ROOMS` that is above it, or its package."""
    path = MODULES[module]
    folder = module if path.name == "__init__.py" else module.rpartition(".")[0]
    return max((room for room in ROOMS if f"{folder}.".startswith(f"{room}.")), key=len, default=folder.split(".")[0])


def test_modules_do_not_import_each_other_in_circles():
    graph = {name: imported_modules(name) for name in MODULES}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(reversed(error.args[1]))}")


def test_rooms_import_one_way():
    TopologicalSorter(ROOMS).prepare()
    above = []
    for name in MODULES:
        if name.endswith(("__main__", "command_line")) or room_of(name) not in ROOMS:
            continue
        room = room_of(name)
        rooms = {room_of(each) for each in imported_modules(name)}
        forbidden = {each for each in rooms & ROOMS.keys() if each.split(".")[0] == room.split(".")[0]}
        above += [f"{name} imports {each}" for each in sorted(forbidden - ROOMS[room] - {room})]
    assert above == []


@pytest.mark.parametrize("package", ALLOWED)
def test_imports_go_one_way(package):
    for path in (ROOT / package).rglob("*.py"):
        for level, module, _ in imports(path):
            top = (module or "").split(".")[0]
            forbidden = top in ALLOWED.keys() - ALLOWED[package] - {package}
            forbidden = forbidden and (module_of(path), module) not in WHEN_CALLED
            assert level > 0 or not forbidden, f"{path.relative_to(ROOT)} imports {module}"


def test_no_module_beside_a_script_has_a_name_of_the_standard_library():
    """A script finds its own folder first: `import statistics` of any library would be answered by ours."""
    folders = {path.parent for path in ROOT.glob("*/*.py") if 'if __name__ == "__main__"' in path.read_text()}
    assert len(folders) >= 4
    hidden = [path for folder in folders for path in folder.glob("*.py") if path.stem in sys.stdlib_module_names]
    assert hidden == []


def test_no_test_file_is_imported_by_another_file_of_the_tests():
    for path in (ROOT / "tests").rglob("*.py"):
        for _, module, names in imports(path):
            parts = {*(module or "").split("."), *(names if (module or "").startswith("tests") else ())}
            assert not [part for part in parts if part.startswith("test_")], f"{path.relative_to(ROOT)}: {module}"


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
            elif (module_of(path), module) not in WHEN_CALLED:
                assert module.split(".")[0] in required, f"{path.name} imports {module}"


def test_an_import_against_the_order_is_made_once_in_a_function_that_expects_it_to_fail():
    for name, imported in WHEN_CALLED:
        tree = ast.parse(MODULES[name].read_text())
        functions = [each for each in tree.body if isinstance(each, ast.FunctionDef)]
        tries = [each for function in functions for each in function.body if isinstance(each, ast.Try)]
        # transformers installs no package for imports in a `try`.
        expected = [
            each for block in tries for each in block.body if isinstance(each, ast.ImportFrom) and block.handlers
        ]
        assert [each.module for each in expected] == [imported]
        everywhere = [module for _, module, _ in imports(MODULES[name]) if module and module.split(".")[0] in ALLOWED]
        assert everywhere == [imported]


def test_optional_packages_are_never_imported_with_a_module():
    for package in ALLOWED:
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.parse(path.read_text()).body:
                names = []
                if isinstance(node, ast.Import):
                    names = [alias.name for alias in node.names]
                elif isinstance(node, ast.ImportFrom):
                    names = [node.module or ""]
                allowed = {"datatrove"} if module_of(path) == OF_DATATROVE else set()
                assert (OPTIONAL - allowed).isdisjoint(name.split(".")[0] for name in names), path
                assert OF_DATATROVE not in names, path
