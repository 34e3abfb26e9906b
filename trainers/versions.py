"""Versions of PyTorch that this project was tested with."""

import warnings

import torch
from packaging.version import Version

NEWEST_TESTED_TORCH = "2.13"
"""Newest version in the tests' environment, the upper bound of the `dev` extra in pyproject.toml."""


def warn_of_untested_torch() -> None:
    """Issue a `UserWarning` when PyTorch is newer than the newest tested version."""
    if Version(torch.__version__).release[:2] > Version(NEWEST_TESTED_TORCH).release:
        warnings.warn(
            f"torch {torch.__version__} is newer than {NEWEST_TESTED_TORCH}, the newest version tested with this "
            "project; before a long run, compare the losses of a short one with and without compiled blocks",
            stacklevel=3,
        )
