"""Folders that tests look into."""

from importlib.resources import files
from pathlib import Path

ROOT = Path(__file__).parents[2]
HELPERS = ROOT / "tests" / "helpers"
BUILTIN = Path(str(files("trainers.data").joinpath("builtin_rust")))
