"""The recorded time of a training is that of the steps of its model, whenever calls were interrupted."""

import json
from types import SimpleNamespace

import psutil
import pytest
from transformers import TrainerControl

from evaluation.machine import Machine
from trainers import training_time
from trainers.training_time import TIMES, TrainingTime, TrainingTimeCallback

LAPTOP, SERVER = Machine("laptop", 4), Machine("server", 16, 10**11, "a GPU", 2, 10**10, 2)


@pytest.fixture
def clock(monkeypatch):
    """Seconds that pass only when a test says so."""
    now = SimpleNamespace(seconds=100.0)
    monkeypatch.setattr(training_time, "time", SimpleNamespace(perf_counter=lambda: now.seconds), raising=True)
    return now


def call(folder, clock, start, steps, saves, machine=LAPTOP, killed=False, saved=True):
    """One call: every step takes a second, every checkpoint another half; `saved` is whether the last one is whole."""
    callback, control = TrainingTimeCallback(folder, machine), TrainerControl()
    state = SimpleNamespace(global_step=start, is_world_process_zero=True)
    callback.on_train_begin(None, state, control)
    for step in range(start + 1, steps + 1):
        clock.seconds += 1
        state.global_step = step
        control.should_save = step % saves == 0
        callback.on_step_end(None, state, control)
        if control.should_save and (saved or step < steps):
            clock.seconds += 0.5
            callback.on_save(None, state, control)
    if not killed:
        callback.on_train_end(None, state, control)


def test_an_undisturbed_training_took_its_steps_and_checkpoints(tmp_path, clock):
    call(tmp_path, clock, 0, 10, 5)
    assert TrainingTime.read(tmp_path, 10) == TrainingTime(11.0, (LAPTOP,))
    # Another training in the same folder begins at zero.
    call(tmp_path, clock, 0, 4, 2)
    assert TrainingTime.read(tmp_path, 4) == TrainingTime(5.0, (LAPTOP,))


def test_steps_that_a_kill_lost_and_that_are_repeated_count_once(tmp_path, clock):
    call(tmp_path, clock, 0, 8, 5, killed=True)
    clock.seconds += 1000
    call(tmp_path, clock, 5, 10, 5, machine=SERVER)
    assert TrainingTime.read(tmp_path, 10) == TrainingTime(11.0, (LAPTOP, SERVER))


@pytest.mark.parametrize("goes_on_at", [5, 10])
def test_a_kill_while_a_checkpoint_is_written_loses_no_time_of_steps(tmp_path, clock, goes_on_at):
    """The record is written before the checkpoint, which may be whole (10), or not (5)."""
    call(tmp_path, clock, 0, 10, 5, killed=True, saved=False)
    call(tmp_path, clock, goes_on_at, 15, 5)
    seconds = TrainingTime.read(tmp_path, 15).seconds
    assert seconds == (15 + 3 * 0.5 if goes_on_at == 5 else 15 + 2 * 0.5)


def test_the_memory_of_the_process_is_kept_and_an_earlier_record_has_none(tmp_path, clock, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    call(tmp_path, clock, 0, 4, 2)
    path = tmp_path / TIMES
    rows = json.loads(path.read_text())
    assert all(10**7 < row["peak_bytes"] <= psutil.virtual_memory().total for row in rows)
    path.write_text(json.dumps([{name: value for name, value in row.items() if name != "peak_bytes"} for row in rows]))
    call(tmp_path, clock, 4, 6, 2)
    rows = json.loads(path.read_text())
    assert [row["peak_bytes"] is None for row in rows] == [True, True, False]
    # A call that has nothing left to do keeps the larger peak of the one before it.
    rows[-1]["peak_bytes"] = 10**15
    path.write_text(json.dumps(rows))
    call(tmp_path, clock, 6, 6, 2)
    assert json.loads(path.read_text())[-1]["peak_bytes"] == 10**15


def test_a_run_that_began_without_a_record_has_no_time_and_no_machine(tmp_path, clock):
    call(tmp_path, clock, 0, 5, 5)
    (tmp_path / TIMES).unlink()
    call(tmp_path, clock, 5, 10, 5)
    assert TrainingTime.read(tmp_path, 10) == TrainingTime(None, ())


def test_this_machine_is_described_in_words_with_its_threads_and_memory():
    machine = Machine.this()
    assert machine.threads >= 1 and machine.memory_bytes and machine.processor in str(machine)
    assert str(SERVER) == "2 x a GPU with 10.0 GB; CPU: server, 16 threads, 2 processes, 100.0 GB of memory"
    assert str(LAPTOP) == "laptop, 4 threads"
