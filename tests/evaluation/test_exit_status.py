"""Every command ends with a status, and what a user can mend is one line on standard error."""

import errno
import logging
import os
import resource
import warnings

import pytest
from safetensors import SafetensorError

from evaluation.complete_files import complete_file, complete_folder
from evaluation.exit_status import exit_status, quiet_libraries
from evaluation.rust import CodeExecutionNotAllowed, SandboxUnavailable


def raising(error):
    def run():
        raise error

    return run


@pytest.mark.parametrize(
    "error, line",
    [
        (ValueError("n must be 1, got 2"), "n must be 1, got 2"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a/b"), "a/b: No space left on device"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "a", None, "b"), "a to b: No space left on device"),
        (SafetensorError("incomplete metadata"), "incomplete metadata"),
        (SandboxUnavailable("no namespaces"), "no namespaces"),
        (CodeExecutionNotAllowed("no consent"), "no consent"),
        (ModuleNotFoundError(name="xllamacpp"), 'xllamacpp is not installed: pip install -e ".[gguf]"'),
    ],
)
def test_what_a_user_can_mend_is_one_line(capsys, error, line):
    assert exit_status("do it", raising(error)) == 2
    assert capsys.readouterr().err == f"do it: {line}\n"


def test_a_fault_of_the_program_is_raised():
    for error in (KeyError("x"), ModuleNotFoundError(name="own_module"), AssertionError()):
        with pytest.raises(type(error)):
            exit_status("do it", raising(error))


def test_ctrl_c_is_one_line_and_a_shells_status(capsys):
    assert exit_status("do it", raising(KeyboardInterrupt()), "Interrupted; go on.") == 130
    assert capsys.readouterr().err == "Interrupted; go on.\n"


def test_what_only_libraries_can_mend_is_silenced(recwarn):
    warnings.simplefilter("always")
    quiet_libraries()
    warnings.warn("`gradient_checkpointing` is deprecated and will be removed in v6.", FutureWarning, stacklevel=1)
    assert len(recwarn) == 0
    warnings.warn("our own is deprecated", FutureWarning, stacklevel=1)
    assert len(recwarn) == 1
    assert not logging.getLogger("bitsandbytes.backends.cpu.ops").isEnabledFor(logging.WARNING)


@pytest.mark.parametrize("complete", [complete_file, complete_folder])
def test_a_full_disk_leaves_nothing_and_the_error_names_the_target(tmp_path, complete):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large: .*target"), complete(tmp_path / "target") as partial:
            (partial / "part" if partial.is_dir() else partial).write_bytes(bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert list(tmp_path.iterdir()) == []


def test_a_file_stays_as_it_was_when_its_successor_fails(tmp_path):
    (tmp_path / "target").write_text("before")
    with pytest.raises(KeyboardInterrupt), complete_file(tmp_path / "target") as partial:
        partial.write_text("half")
        raise KeyboardInterrupt
    assert [path.read_text() for path in tmp_path.iterdir()] == ["before"]
