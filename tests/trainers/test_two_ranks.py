"""Two processes train with DistributedDataParallel's defaults what one trains with whole batches."""

import json
import os
import subprocess
import sys

import pytest

from tests.helpers.paths import HELPERS


@pytest.fixture(scope="module")
def found() -> dict:
    script = HELPERS / "two_ranks_process.py"
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone", str(script)]
    finished = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert finished.returncode == 0, finished.stderr
    return json.loads(finished.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    "case",
    [
        "all loops",
        "final loss",
        "another number of loops every step",
        "one loop, then two, of a scaled update",
        "layers checkpointed",
        "loops checkpointed",
        "selectively checkpointed",
        "last loop, gate frozen",
    ],
)
def test_two_processes_train_to_the_weights_of_one(found, case):
    assert found[case] < 1e-4


def test_a_gate_without_gradient_is_an_error_that_says_so_and_nothing_hangs(found):
    assert "did not receive grad" in found["last loop, gate not frozen"]
