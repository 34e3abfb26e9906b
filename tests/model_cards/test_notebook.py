"""The published notebook runs in a fresh kernel, and holds no output of the machine that it was written on."""

import ast
import importlib

import nbformat
import pytest

from model_cards.snapshot.write import examples_folder

PATH = examples_folder() / "demo.ipynb"


@pytest.fixture
def notebook():
    found = nbformat.read(PATH, as_version=4)
    nbformat.validate(found)
    return found


def test_every_import_of_the_notebook_is_there_and_no_output_is_stored(notebook):
    sources = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    for node in ast.walk(ast.parse("\n".join(sources))):
        if isinstance(node, ast.Import):
            assert all(importlib.import_module(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            module = importlib.import_module(node.module)
            assert all(hasattr(module, alias.name) for alias in node.names), node.module
    assert all(not cell.outputs for cell in notebook.cells if cell.cell_type == "code")


@pytest.mark.slow
def test_the_notebook_trains_verifies_and_draws_in_a_fresh_kernel(notebook):
    nbclient = pytest.importorskip("nbclient")
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(output.text for output in outputs if output.output_type == "stream" and output.name == "stdout")
    assert "*items.iter().max().unwrap()\n}\n\n-> valid" in text and "mean exit loop: " in text
    assert sum("image/png" in output.get("data", {}) for output in outputs) == 2
