"""Which versions of PyTorch this project was tested with."""

import warnings

import torch
from packaging.version import Version

NEWEST_TESTED_TORCH = "2.13"
"""That of the tests' environment: the `dev` extra in pyproject.toml ends with it."""


def warn_of_untested_torch() -> None:
    """A `UserWarning`, where PyTorch is newer than the newest that was tested."""
    if Version(torch.__version__).release[:2] > Version(NEWEST_TESTED_TORCH).release:
        warnings.warn(
            f"torch {torch.__version__} is newer than {NEWEST_TESTED_TORCH}, the newest this project was tested with; "
            "compare a short run's losses with and without compiled blocks before a long one",
            stacklevel=3,
        )
