"""The sandbox holds what it promises, at every level, and never lets a program decide about anything but itself."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from evaluation.rust.rustc.self_test import HARMFUL, SelfTest, self_test
from evaluation.rust.rustc.toolchain import ToolchainUnavailable, find_toolchain
from evaluation.rust.sandbox.runner import (
    CodeExecutionNotAllowed,
    Command,
    Limits,
    Sandbox,
    SandboxFailure,
    SandboxUnavailable,
)

TOOLCHAIN = find_toolchain()
PROBE = Command([TOOLCHAIN.rustc, "-V"], TOOLCHAIN.environment)
SHELL = "/bin/sh"


def sandbox_of(level):
    """A sandbox of exactly this level, or a skip where the machine does not give it."""
    try:
        return Sandbox([TOOLCHAIN.sysroot], PROBE, require=level, highest=level)
    except SandboxUnavailable as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module", params=[2, 1, 0], ids=["isolated", "files", "limits"])
def sandbox(request):
    sandbox = sandbox_of(request.param)
    yield sandbox
    sandbox.close()


@pytest.fixture(scope="module")
def attempts(sandbox, tmp_path_factory):
    """The self-test's attempts by name, not yet made."""
    test = SelfTest(TOOLCHAIN, sandbox, tmp_path_factory.mktemp("outside"))
    return {name: (sandbox.level >= level, attempt) for name, level, attempt in test.attempts()}


def shell(sandbox, script, **options):
    return sandbox.run({}, [Command([SHELL, "-c", script])], **options)[0]


ATTEMPTS = (
    "an endless loop ends (processor time)",
    "a sleeping program ends (deadline)",
    "a process in a session of its own ends too",
    "processes are limited",
    "threads are limited",
    "a fork bomb ends",
    "memory is limited",
    "the size of a file is limited",
    "the size of the directory is limited",
    "output is limited",
    "the caller's environment is not visible",
    "the compiler reads no file of the machine",
    "a program reads no file of the machine",
    "a program reads not even /etc/passwd",
    "a program writes only its own directory",
    "no TCP connection, not even to this machine",
    "no UDP packet",
    "no socket of another process",
    "no signal to another process",
    "not root",
)


@pytest.mark.parametrize("name", ATTEMPTS)
def test_what_the_level_promises_holds(attempts, name):
    promised, attempt = attempts[name]
    if not promised:
        pytest.skip("not promised at this level")
    held, observed = attempt()
    assert held, observed


def test_the_attempts_of_the_tests_are_those_of_the_doctor(attempts):
    assert tuple(attempts) == ATTEMPTS and set(HARMFUL) < set(ATTEMPTS)


@pytest.mark.slow
def test_an_attempt_finds_an_open_door_where_nothing_is_promised(tmp_path):
    """The self-test is worth something only if it fails without protection."""
    with self_test(TOOLCHAIN, sandbox_of(0)) as protections:
        found = {protection.name: protection for protection in protections}
    for name in ("a program reads no file of the machine", "a program writes only its own directory", "no UDP packet"):
        assert not found[name].promised and found[name].held is False, found[name]


def test_a_program_has_no_input_and_a_clean_environment(sandbox):
    completed = shell(sandbox, "cat; env | sort | cut -d= -f1 | tr '\\n' ' '; umask")
    assert completed.stdout.split() == [b"HOME", b"LANG", b"PATH", b"PWD", b"TMPDIR", b"0077"]


def test_a_program_inherits_no_descriptors(sandbox):
    with open("/etc/hostname") as _:
        completed = shell(sandbox, "for n in 3 4 5 6 7 8 9; do (: >&$n) 2>/dev/null && echo open $n; done; true")
    assert completed.stdout == b""


def test_commands_share_a_directory_that_is_gone_afterwards(sandbox):
    results = sandbox.run(
        {"a": b"text"},
        [Command([SHELL, "-c", "cp a b; pwd"]), Command([SHELL, "-c", "cat b"]), Command([SHELL, "-c", "exit 7"])],
    )
    assert [result.status for result in results] == [0, 0, 7]
    assert results[1].stdout == b"text"
    assert shell(sandbox, "ls").stdout == b""
    if sandbox.level < 2:  # at level 2 the path means something only inside
        assert not Path(results[0].stdout.decode().strip()).exists()


def test_a_directory_the_program_locked_is_removed_all_the_same(sandbox):
    deep = "mkdir -p $(printf 'd/%.0s' $(seq 1500))"
    completed = shell(sandbox, f"{deep}; mkdir -p a/b && touch a/b/c && chmod 0 a/b a . ; pwd")
    assert completed.status == 0
    # At level 2 the path means something only inside.
    assert sandbox.level == 2 or not Path(completed.stdout.decode().strip()).exists()


def test_the_first_failing_command_is_the_last(sandbox):
    results = sandbox.run({}, [Command([SHELL, "-c", "exit 3"]), Command([SHELL, "-c", "echo never"])])
    assert [result.status for result in results] == [3]


def test_commands_that_may_fail_do_not_end_the_attempt_unless_at_a_limit(sandbox):
    fails = Command([SHELL, "-c", "exit 3"], may_fail=True)
    crashes = Command([SHELL, "-c", "kill -SEGV $$"], may_fail=True)
    sleeps = Command(["/bin/sleep", "20"], wall_seconds=0.3, may_fail=True)
    results = sandbox.run({}, [fails, crashes, sleeps, fails])
    assert [result.ended_by for result in results] == ["exit", "signal", "deadline"]


def test_a_command_that_used_its_processor_time_is_the_last_even_if_it_may_fail(sandbox):
    spins = Command([SHELL, "-c", "while :; do :; done"], may_fail=True)
    results = sandbox.run({}, [spins, spins], Limits(wall_seconds=60, cpu_seconds=1))
    assert [result.ended_by for result in results] == ["signal"]


def test_commands_leave_nothing_for_the_next_one_in_a_read_only_directory(sandbox):
    if sandbox.level == 0:
        pytest.skip("level 0 does not protect files")
    writes = "echo kept > new; echo kept > given; rm given; mkdir folder; echo kept > /tmp/new"
    scripts = (writes, "cat given; ls; cat /tmp/new")
    commands = [Command([SHELL, "-c", script], may_fail=True) for script in scripts]
    results = sandbox.run({"given": b"first\n"}, commands, read_only=True)
    assert results[1].stdout == b"first\ngiven\n"


def test_the_deadline_covers_all_commands_together(sandbox):
    nap = Command(["/bin/sleep", "0.4"])
    started = time.monotonic()
    results = sandbox.run({}, [nap] * 10, Limits(wall_seconds=1.0))
    assert results[-1].ended_by == "deadline" and 1 < len(results) < 4
    assert time.monotonic() - started < 3


def test_output_is_kept_up_to_the_limit(sandbox):
    completed = shell(sandbox, "yes | head -c 5000; echo end >&2", limits=Limits(output_bytes=5000))
    assert len(completed.stdout) == 5000 and completed.stderr == b"end\n" and completed.ended_by == "exit"
    completed = shell(sandbox, "yes | head -c 5001; sleep 5", limits=Limits(output_bytes=5000))
    assert len(completed.stdout) == 5000 and completed.ended_by == "output" and completed.seconds < 4


def test_a_directory_that_outgrows_its_limit_ends_the_attempt_while_it_is_written(sandbox):
    """Many small files, in folders and without an end, as a build script could write them."""
    script = "n=0; while :; do mkdir d$n && head -c 1M /dev/urandom > d$n/f || exit 9; n=$((n+1)); done"
    started = time.monotonic()
    completed = shell(sandbox, script, limits=Limits(wall_seconds=30, cpu_seconds=30, disk_bytes=16 << 20))
    assert (completed.ended_by == "disk") if sandbox.level < 2 else (b"No space left" in completed.stderr)
    assert time.monotonic() - started < 15


def test_a_readable_folder_that_clashes_with_the_directory_inside_is_refused_with_the_reason():
    sandbox_of(2).close()
    with pytest.raises(SandboxUnavailable, match="/nanochat-attempt is the directory of programs"):
        Sandbox([TOOLCHAIN.sysroot, "/nanochat-attempt/crates"], PROBE, require=2)


def test_closed_outputs_do_not_end_an_attempt_early(sandbox):
    completed = shell(sandbox, "exec >&- 2>&-; sleep 0.3; exit 5")
    assert completed.status == 5 and completed.seconds >= 0.3


def test_attempts_at_the_same_time_do_not_see_each_other(sandbox):
    script = "echo mine > f; sleep 0.2; ls | tr '\\n' ' '"
    with ThreadPoolExecutor(4) as pool:
        outputs = [completed.stdout for completed in pool.map(lambda _: shell(sandbox, script), range(8))]
    assert outputs == [b"f "] * 8


def test_a_generated_program_does_not_run_without_consent(sandbox, monkeypatch):
    monkeypatch.delenv("HF_ALLOW_CODE_EVAL", raising=False)
    run = [Command(["/bin/chmod", "700", "p"]), Command(["{directory}/p"])]
    with pytest.raises(CodeExecutionNotAllowed, match="HF_ALLOW_CODE_EVAL=1"):
        sandbox.run({"p": b"#!/bin/sh\necho ran\n"}, run)
    monkeypatch.setenv("HF_ALLOW_CODE_EVAL", "1")
    assert sandbox.run({"p": b"#!/bin/sh\necho ran\n"}, run)[-1].stdout == b"ran\n"


def test_a_missing_program_is_the_sandboxs_failure_not_the_programs(sandbox):
    with pytest.raises(SandboxFailure, match="no-such-program"):
        sandbox.run({}, [Command(["/usr/bin/no-such-program"])])


def test_a_killed_server_is_started_again(sandbox):
    os.kill(sandbox._server.pid, signal.SIGKILL)
    sandbox._server.wait()
    assert shell(sandbox, "echo again").stdout == b"again\n"


@pytest.mark.parametrize("require", ["strict", 3, -1, True, None])
def test_an_unknown_level_is_refused(require):
    with pytest.raises(ValueError, match="sandbox must be auto, limits, files, isolated"):
        Sandbox([], PROBE, require=require)


def test_a_level_that_cannot_be_had_fails_closed():
    """Without room for user namespaces, with the reason in the message."""
    script = f"""
        from evaluation.rust.sandbox.runner import Sandbox, Command
        Sandbox(["{TOOLCHAIN.sysroot}"], Command(["/usr/bin/no-such-compiler"]), require="isolated")
    """
    finished = subprocess.run([sys.executable, "-c", textwrap.dedent(script)], capture_output=True, text=True)
    assert finished.returncode != 0
    assert "SandboxUnavailable" in finished.stderr and "no-such-compiler" in finished.stderr


def test_paths_in_file_names_are_refused(sandbox):
    for name in ("../a", "/etc/a", "a/b", "", ".."):
        with pytest.raises(ValueError, match="file names"):
            sandbox.run({name: b""}, [])


def test_a_caller_that_is_killed_leaves_neither_process_nor_directory(sandbox, tmp_path):
    """SIGKILL to the caller in the middle of an attempt that started a session of its own."""
    marker = f"4{os.getpid()}{sandbox.level}"  # seconds to sleep: also a name to find the processes by
    script = f"""
        from evaluation.rust.sandbox.runner import Sandbox, Command, Limits
        sandbox = Sandbox(["{TOOLCHAIN.sysroot}"], Command(["{TOOLCHAIN.rustc}", "-V"], {TOOLCHAIN.environment!r}),
                          highest={sandbox.level})
        print("ready", flush=True)
        two = Command(["/bin/sh", "-c", "setsid sleep {marker} & sleep {marker}"])
        sandbox.run({{}}, [two], Limits(wall_seconds=60))
    """
    caller = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        stdout=subprocess.PIPE,
        env={**os.environ, "TMPDIR": str(tmp_path)},
    )
    caller.stdout.readline()
    assert wait_until(lambda: running(marker) >= 2), "the programs did not start"
    caller.kill()
    caller.wait()
    assert wait_until(lambda: running(marker) == 0), "programs survived their caller"
    assert wait_until(lambda: not any(tmp_path.iterdir())), "directories survived their caller"


def running(marker):
    found = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            found += path.read_bytes().split(b"\0")[:2] == [b"sleep", marker.encode()]
        except OSError:
            continue
    return found


def wait_until(condition, seconds=10):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.02)
    return False


def test_a_missing_compiler_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolchainUnavailable, match="rustup.rs"):
        find_toolchain.__wrapped__()


def test_an_old_compiler_is_refused_with_its_version(monkeypatch, tmp_path):
    old = tmp_path / "rustc"
    old.write_text(f'#!/bin/sh\ncase "$*" in *sysroot*) echo {tmp_path};; *) echo "release: 1.70.0";; esac\n')
    old.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    with pytest.raises(ToolchainUnavailable, match=r"1\.85 or newer is needed.*1\.70\.0"):
        find_toolchain.__wrapped__()


def test_closing_ends_what_still_runs(tmp_path):
    sandbox = sandbox_of(0)
    with ThreadPoolExecutor(1) as pool:
        marker = f"5{os.getpid()}"
        waiting = pool.submit(
            shell, sandbox, f"setsid sleep {marker} & sleep {marker}", limits=Limits(wall_seconds=60)
        )
        assert wait_until(lambda: running(marker) == 2)
        sandbox.close()
        with pytest.raises(SandboxFailure, match="closed"):
            waiting.result(timeout=5)
    assert wait_until(lambda: running(marker) == 0)
