"""A teacher's predictions on disk: equal to those on the fly, continued after a kill, shared by processes."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.helpers.teachers import packed_blocks, rust_tokenizer, tiny_llama
from trainers.data.blocks import TokenBlocks
from trainers.data.collator import collate_blocks
from trainers.distillation.kept_targets import (
    TABLE,
    Fingerprint,
    begin_targets,
    collate_with_targets,
    compute_targets,
    finish_targets,
    kept_targets,
    open_kept,
)
from trainers.distillation.teacher import Teacher

VOCAB = 300


class Killed(Exception):
    """Stands for the end of a process."""


@pytest.fixture(scope="module")
def blocks(tmp_path_factory) -> TokenBlocks:
    return packed_blocks(tmp_path_factory.mktemp("blocks"), rust_tokenizer(VOCAB), document_masking=True)


@pytest.fixture(scope="module")
def teacher() -> Teacher:
    return Teacher.of(tiny_llama(VOCAB))


def fingerprint_of(blocks: TokenBlocks, k: int = VOCAB) -> Fingerprint:
    teacher = {"model.safetensors": "0"}
    return Fingerprint.of(blocks, teacher=teacher, k=k, temperature=2.0, vocab_size=VOCAB, bf16=False)


def keep(blocks: TokenBlocks, teacher: Teacher, folder: Path, fingerprint: Fingerprint, killed_at=None, **share):
    """Compute targets; return the number of batches that the teacher read."""
    read = 0

    def predict(batch):
        nonlocal read
        if read == killed_at:
            raise Killed
        read += 1
        tokens = {name: value for name, value in batch.items() if name != "labels"}
        return teacher.targets(tokens, fingerprint.temperature)

    begin_targets(blocks, folder, fingerprint)
    compute_targets(blocks, folder, fingerprint, predict, batch_size=2, chunk=7, **share)
    return read


def test_with_all_of_the_vocabulary_they_are_the_teachers_own(blocks, teacher, tmp_path):
    fingerprint = fingerprint_of(blocks)
    keep(blocks, teacher, tmp_path, fingerprint)
    finish_targets(tmp_path)
    kept = open_kept(blocks, tmp_path, fingerprint)
    assert kept is not None
    rows = [1, len(blocks) - 1]
    batch = collate_with_targets([kept[row] for row in rows])
    plain = collate_blocks([blocks[row] for row in rows])
    assert all(torch.equal(batch[name], value) for name, value in plain.items())
    student = torch.log_softmax(torch.randn(2 * 16, VOCAB), dim=1)
    tokens = {name: plain[name] for name in ("input_ids", "position_ids")}
    live = teacher.targets(tokens, 2.0).divergence(slice(None), student)
    for one, two in zip(kept_targets(batch).divergence(slice(None), student), live, strict=True):
        torch.testing.assert_close(one, two, rtol=2e-3, atol=2e-3)


def test_a_killed_computation_is_continued_to_the_same_bytes(blocks, teacher, tmp_path):
    fingerprint = fingerprint_of(blocks, k=5)
    whole = keep(blocks, teacher, tmp_path / "whole", fingerprint)
    with pytest.raises(Killed):
        keep(blocks, teacher, tmp_path / "killed", fingerprint, killed_at=2)
    assert open_kept(blocks, tmp_path / "killed", fingerprint) is None
    assert keep(blocks, teacher, tmp_path / "killed", fingerprint) == whole - 2
    for folder in ("whole", "killed"):
        finish_targets(tmp_path / folder)
    assert (tmp_path / "whole" / TABLE).read_bytes() == (tmp_path / "killed" / TABLE).read_bytes()


def test_processes_share_the_blocks(blocks, teacher, tmp_path):
    fingerprint = fingerprint_of(blocks, k=5)
    keep(blocks, teacher, tmp_path / "1", fingerprint)
    for process in range(3):
        keep(blocks, teacher, tmp_path / "3", fingerprint, process=process, num_processes=3)
    for folder in ("1", "3"):
        finish_targets(tmp_path / folder)
    assert (tmp_path / "1" / TABLE).read_bytes() == (tmp_path / "3" / TABLE).read_bytes()


def test_targets_of_another_teacher_temperature_or_k_are_not_used(blocks, teacher, tmp_path):
    fingerprint = fingerprint_of(blocks, k=5)
    keep(blocks, teacher, tmp_path, fingerprint)
    finish_targets(tmp_path)
    assert open_kept(blocks, tmp_path, fingerprint) is not None
    for change in (dict(teacher={"model.safetensors": "1"}), dict(temperature=1.0), dict(k=4)):
        assert open_kept(blocks, tmp_path, replace(fingerprint, **change)) is None
    begin_targets(blocks, tmp_path, replace(fingerprint, k=4))
    assert not (tmp_path / TABLE).exists()
