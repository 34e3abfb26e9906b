"""The source files of this project as they are installed, their digest, and the files that install them again."""

import hashlib
import importlib.util
import json
import shutil
import subprocess
import sys
import zipfile
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import BinaryIO

from evaluation.clean_process import OWN_PACKAGES
from model_cards.snapshot.requirements import DISTRIBUTION, pinned_requirements, required

REQUIREMENTS, PYPROJECT = "requirements.txt", "pyproject.toml"
FIRST_DATE = (1980, 1, 1, 0, 0, 0)
"""Date of every file in an archive, so that equal sources give equal archives."""


@cache
def source_files() -> dict[str, bytes]:
    """
    Return the content of the files of the project's packages by their path, such as "trainers/plots.py", in order. It
    is read once per process, so that digest and archive are of the same content.
    """
    found = {}
    for package in OWN_PACKAGES:
        spec = importlib.util.find_spec(package)
        assert spec is not None and spec.origin is not None, "the project's packages are installed together"
        folder = Path(spec.origin).parent
        for path in folder.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                found[f"{package}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
    return dict(sorted(found.items()))


def source_digest() -> str:
    """Return the SHA-256 over the lines that `sha256sum` prints for the source files."""
    digest = hashlib.sha256()
    for name, content in source_files().items():
        digest.update(f"{hashlib.sha256(content).hexdigest()}  {name}\n".encode())
    return digest.hexdigest()


def write_archive(file: Path | BinaryIO) -> None:
    """Write the source files, and files with which `pip install` installs them again, to a ZIP archive."""
    contents = source_files() | {PYPROJECT: pyproject().encode(), REQUIREMENTS: requirements().encode()}
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in contents.items():
            archive.writestr(zipfile.ZipInfo(name, FIRST_DATE), content, zipfile.ZIP_DEFLATED)


def project_version() -> str:
    """Return the version of the installed project; "0" where it is not installed as a distribution."""
    try:
        return distribution(DISTRIBUTION).version
    except PackageNotFoundError:
        return "0"


def pyproject() -> str:
    """Return a `pyproject.toml` that installs the packages with all of their files."""
    # JSON's strings are TOML's.
    patterns = json.dumps([f"{package}*" for package in OWN_PACKAGES])
    return f"""[build-system]
requires = ["setuptools>=77"]
build-backend = "setuptools.build_meta"

[project]
name = "{DISTRIBUTION}"
version = "{project_version()}"
requires-python = ">={sys.version_info.major}.{sys.version_info.minor}"
dependencies = {json.dumps(required())}

[project.scripts]
nanochat-ternary = "nanochat_ternary.__main__:main"

[tool.setuptools.packages.find]
include = {patterns}

[tool.setuptools.package-data]
"*" = ["*"]
"""


def requirements() -> str:
    """Return a `requirements.txt` with the versions that are installed, and those of Python and rustc as comments."""
    lines = [f"# Python {sys.version.split()[0]}", f"# {rustc_version()}", *pinned_requirements()]
    return "\n".join(lines) + "\n"


def rustc_version() -> str:
    """Return what `rustc --version` prints, or that there is none."""
    program = shutil.which("rustc")
    if program is None:
        return "rustc was not installed"
    ran = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
    return ran.stdout.strip() or "rustc does not run"
