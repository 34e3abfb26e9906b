"""Packing to a file: every token in its place, whatever interrupts it, and a manifest that tells what it is."""

import json
import multiprocessing
import os
import resource
import signal
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from transformers import DataCollatorForLanguageModeling

from tests.helpers.pretraining import make_trainer
from tests.helpers.tiny import tiny_model
from trainers.data import pack
from trainers.data.blocks import open_blocks
from trainers.data.collator import collate_blocks
from trainers.data.encoding import TextEncoder, tokenizer_sha256
from trainers.data.manifest import (
    MANIFEST_FILE,
    TOKENS_FILE,
    Counts,
    PackSettings,
    check_manifest,
    file_identities,
    read_manifest,
)
from trainers.data.mix import MixedDocument
from trainers.data.pack import PROGRESS_FILE, pack_blocks, pack_documents, regroup_blocks
from trainers.data.sources import Document
from trainers.data.tokenizer import train_tokenizer

SETTINGS = PackSettings(seq_len=16)
WORDS = [
    "fn",
    "main",
    "let mut x =",
    "\n    ",
    "{",
    "}",
    "'static",
    "9_000",
    "// naïve — 漢字 ",
    "\u00a0\n",
    "\r\n\n\n",
]


def documents(count=40):
    for index in range(count):
        code = "".join(WORDS[(index * 7 + place**2) % len(WORDS)] for place in range(20)) + str(index)
        source, license = f"source {index % 3}", ("MIT", "Apache-2.0")[index % 2]
        yield MixedDocument(Document.of(source, str(index), "file", license, code), f"mix {index % 2}")


@pytest.fixture(scope="module")
def tokenizer():
    return train_tokenizer((each.document.code for each in documents(5)), 320, 64)


def files_of(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("seq_len", [16, 7])
def test_blocks_on_the_disk_are_those_in_memory(tmp_path, tokenizer, seq_len):
    manifest = pack_documents(tmp_path, documents(), tokenizer, replace(SETTINGS, seq_len=seq_len))
    expected = pack_blocks([each.document.code for each in documents()], tokenizer, seq_len)["input_ids"][:]
    blocks = open_blocks(tmp_path)
    assert [row["input_ids"].tolist() for row in blocks] == expected
    assert manifest.blocks == len(blocks) == len(expected) and set(blocks[0]) == {"input_ids"}
    regrouped = regroup_blocks(blocks, 33)
    assert [row["input_ids"].tolist() for row in regrouped][:2] == [sum(expected, [])[:33], sum(expected, [])[33:66]]


def test_every_document_begins_with_bos_and_restarts_the_positions(tmp_path, tokenizer):
    pack_documents(tmp_path, documents(), tokenizer, replace(SETTINGS, document_masking=True))
    rows = list(open_blocks(tmp_path))
    for row in rows:
        assert (row["position_ids"][1:][row["input_ids"][1:] == tokenizer.bos_token_id] == 0).all()
    assert "position_ids" not in open_blocks(tmp_path, document_masking=False)[0]


@pytest.mark.parametrize("killed_at", [0, 1, 9, 23, 39])
def test_a_killed_call_is_continued_to_the_same_bytes(tmp_path, tokenizer, monkeypatch, killed_at):
    monkeypatch.setattr(pack, "BATCH_BYTES", 300)
    monkeypatch.setattr(pack, "PROGRESS_BYTES", 700)
    pack_documents(tmp_path / "undisturbed", documents(), tokenizer, SETTINGS)

    def killed():
        for index, document in enumerate(documents()):
            if index == killed_at:
                os.kill(os.getpid(), signal.SIGKILL)
            yield document

    arguments = (tmp_path / "killed", killed(), tokenizer, SETTINGS)
    process = multiprocessing.get_context("fork").Process(target=pack_documents, args=arguments)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with pytest.raises(ValueError, match="must be a folder of packed blocks, got one without manifest.json"):
        open_blocks(tmp_path / "killed")
    # A write that was cut off.
    with (tmp_path / "killed" / TOKENS_FILE).open("ab") as file:
        file.write(b"\x01\x00\x07")
    encoded = Counter()
    encode = TextEncoder.encode
    monkeypatch.setattr(TextEncoder, "encode", lambda self, texts: encoded.update(texts) or encode(self, texts))
    pack_documents(tmp_path / "killed", documents(), tokenizer, SETTINGS)
    assert files_of(tmp_path / "killed") == files_of(tmp_path / "undisturbed")
    assert killed_at < 20 or len(encoded) < 40, "what was saved is not encoded again"


def test_a_finished_folder_is_compared_and_not_written_again(tmp_path, tokenizer):
    first = pack_documents(tmp_path, documents(), tokenizer, SETTINGS, {"a.jsonl": "1"})
    before = (tmp_path / TOKENS_FILE).stat().st_mtime_ns
    assert pack_documents(tmp_path, documents(), tokenizer, SETTINGS, {"a.jsonl": "1"}) == first
    assert (tmp_path / TOKENS_FILE).stat().st_mtime_ns == before


@pytest.mark.parametrize("finished", [True, False])
@pytest.mark.parametrize(
    "changes, fault",
    [
        ({"settings": PackSettings(seq_len=8, seed=3)}, "its seq_len is 16 instead of 8, its seed is 0 instead of 3"),
        ({"documents": list(documents(41))[1:]}, "its documents are other ones"),
        ({"documents": list(documents(20))}, "its documents are other ones"),
        ({"tokenizer": train_tokenizer(["impl Other for Text {}"], 300, 64)}, "its tokenizer is another one"),
    ],
)
def test_tokens_of_other_documents_or_settings_are_never_continued(
    tmp_path, tokenizer, monkeypatch, finished, changes, fault
):
    monkeypatch.setattr(pack, "BATCH_BYTES", 300)
    monkeypatch.setattr(pack, "PROGRESS_BYTES", 700)
    with monkeypatch.context() as patched:
        if not finished:

            def full(path, value, write=pack.write_json_file):
                if path.name == MANIFEST_FILE:
                    raise OSError(28, "No space left on device", str(path))
                write(path, value)

            patched.setattr(pack, "write_json_file", full)
        try:
            pack_documents(tmp_path, documents(), tokenizer, SETTINGS)
        except OSError:
            assert not finished
    arguments = {"documents": documents(), "tokenizer": tokenizer, "settings": SETTINGS} | changes
    before = files_of(tmp_path)
    with pytest.raises(ValueError, match=f"{fault}; delete it or choose another folder"):
        pack_documents(tmp_path, **arguments)
    assert files_of(tmp_path) == before


def test_a_full_disk_is_named_and_leaves_no_manifest(tmp_path, tokenizer, monkeypatch):
    def full(file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pack, "_flush", full)
    with pytest.raises(OSError, match="No space left on device: .*tokens.bin"):
        pack_documents(tmp_path, documents(), tokenizer, SETTINGS)
    assert not (tmp_path / MANIFEST_FILE).exists()


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_documents_leave_nothing(tmp_path, tokenizer, count):
    with pytest.raises(
        ValueError, match=rf"at least one block of seq_len=1000 tokens, got \d+ tokens in {count} texts"
    ):
        pack_documents(tmp_path, documents(count), tokenizer, replace(SETTINGS, seq_len=1000))
    assert not list(tmp_path.iterdir())


def test_text_that_is_no_text_is_named(tmp_path, tokenizer):
    broken = MixedDocument(Document("the id", "a", "b", "file", "MIT", "let x = '\ud800';"), "mix")
    with pytest.raises(ValueError, match="UTF-8 can encode, got document the id with .* surrogates not allowed"):
        pack_documents(tmp_path, [*documents(), broken], tokenizer, SETTINGS)


def test_a_manifest_counts_by_source_mix_and_license(tmp_path, tokenizer):
    manifest = pack_documents(tmp_path, documents(), tokenizer, SETTINGS, {"a.jsonl": "1"}, rustc="1.99.0")
    assert read_manifest(tmp_path) == manifest
    assert manifest.licenses == {"Apache-2.0": 20, "MIT": 20}
    for groups, name_of in (
        (manifest.by_source, lambda each: each.document.source),
        (manifest.by_mix, lambda each: each.mix),
    ):
        for name, counts in groups.items():
            codes = [each.document.code for each in documents() if name_of(each) == name]
            tokens = sum(len(tokenizer(code)["input_ids"]) + 1 for code in codes)
            assert counts == Counts(len(codes), tokens, sum(len(code.encode()) for code in codes))
        assert sum(groups.values(), Counts()) == manifest.total
    stored = json.loads((tmp_path / MANIFEST_FILE).read_text())
    assert stored["settings"] == {"seq_len": 16, "document_masking": False, "fim_rate": 0.0, "seed": 0}
    assert set(stored["versions"]) == {"nanochat-ternary", "tokenizers", "rustc"}
    assert stored["tokenizer_sha256"] == tokenizer_sha256(tokenizer)
    assert not (tmp_path / PROGRESS_FILE).exists()


def test_changed_inputs_and_damaged_files_are_named(tmp_path, tokenizer):
    for name in ("a.jsonl", "b.jsonl", "c.jsonl"):
        (tmp_path / name).write_text(name)
    inputs = file_identities([tmp_path / name for name in ("a.jsonl", "b.jsonl")])
    folder = tmp_path / "packed"
    manifest = pack_documents(folder, documents(), tokenizer, SETTINGS, inputs)
    assert check_manifest(folder, inputs, tokenizer_sha256(tokenizer)) == manifest == check_manifest(folder)
    (tmp_path / "a.jsonl").write_text("A.jsonl")
    changed = file_identities([tmp_path / name for name in ("a.jsonl", "c.jsonl")])
    with pytest.raises(
        ValueError, match="a.jsonl has changed, input b.jsonl is missing, input c.jsonl is new; pack again"
    ):
        check_manifest(folder, changed)
    with pytest.raises(ValueError, match="a.jsonl has changed"):
        pack_documents(folder, documents(), tokenizer, SETTINGS, changed)
    with pytest.raises(ValueError, match="but the tokenizer is another one; pack again"):
        check_manifest(folder, tokenizer_sha256="0")
    tokens = bytearray((folder / TOKENS_FILE).read_bytes())
    tokens[5] ^= 1
    (folder / TOKENS_FILE).write_bytes(tokens)
    with pytest.raises(ValueError, match="but tokens.bin is damaged; pack again"):
        check_manifest(folder, inputs)
    (folder / TOKENS_FILE).write_bytes(tokens[:-2])
    with pytest.raises(ValueError, match=f"tokens.bin must have the manifest's {len(tokens)} bytes, got"):
        open_blocks(folder)
    (folder / TOKENS_FILE).unlink()
    with pytest.raises(ValueError, match="but tokens.bin is missing; pack again"):
        check_manifest(folder, inputs)
    for content in ("{", "[]", "{}", '{"format": 1}'):
        (folder / MANIFEST_FILE).write_text(content)
        with pytest.raises(ValueError, match="must be a manifest of packed blocks, got another content"):
            read_manifest(folder)


def test_a_large_vocabulary_is_stored_in_four_bytes(tmp_path, tokenizer):
    large = train_tokenizer((each.document.code for each in documents(5)), 320, 64)
    large.add_tokens([f"<|{index}|>" for index in range(2**16)], special_tokens=True)
    assert TextEncoder(tokenizer).dtype == np.uint16 and TextEncoder(large).dtype == np.uint32
    pack_documents(tmp_path, documents(3), large, SETTINGS)
    expected = pack_blocks([each.document.code for each in documents(3)], tokenizer, 16)["input_ids"][:]
    assert [row["input_ids"].tolist() for row in open_blocks(tmp_path)] == expected


@pytest.mark.parametrize(
    "settings, rule",
    [
        ({"seq_len": 1}, "seq_len must be at least 2, got 1"),
        ({"fim_rate": 1.5}, "fim_rate must be from 0 to 1, got 1.5"),
        ({"fim_rate": float("nan")}, "fim_rate must be from 0 to 1, got nan"),
    ],
)
def test_impossible_settings_are_refused(settings, rule):
    with pytest.raises(ValueError, match=rule):
        PackSettings(**{"seq_len": 8} | settings)


def test_training_on_blocks_of_a_file_is_training_on_a_data_set(tmp_path, tokenizer):
    """The same steps, bit by bit, with and without workers, and after an interruption."""
    pack_documents(tmp_path / "blocks", documents(), tokenizer, SETTINGS)
    blocks = open_blocks(tmp_path / "blocks")
    pad = DataCollatorForLanguageModeling(tokenizer, mlm=False)
    ways = {
        "data set": (blocks.to_dataset(), pad, {}),
        "file": (blocks, collate_blocks, {"save_steps": 2}),
        "workers": (blocks, collate_blocks, {"dataloader_num_workers": 1}),
    }
    states = {}
    for name, (rows, collator, settings) in ways.items():
        trainer = make_trainer(
            tmp_path / name,
            tiny_model(vocab_size=320),
            rows=rows,
            max_steps=4,
            per_device_train_batch_size=2,
            **settings,
        )
        trainer.data_collator = collator
        trainer.train()
        states[name] = trainer.model.state_dict()
    continued = make_trainer(
        tmp_path / "file", tiny_model(seed=1, vocab_size=320), rows=blocks, max_steps=4, per_device_train_batch_size=2
    )
    continued.data_collator = collate_blocks
    continued.train(resume_from_checkpoint=str(tmp_path / "file" / "checkpoint-2"))
    states["continued"] = continued.model.state_dict()
    for name, state in states.items():
        assert all(torch.equal(value, state[key]) for key, value in states["data set"].items()), name


def pack_and_measure(folder, tokenizer, megabytes):
    """Return the largest memory of the process before and after packing so much text, in MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def texts():
        text = "".join(each.document.code for each in documents(20)) * 3
        remaining, index = megabytes * 1e6, 0
        while remaining > 0:
            # A part of the text is names and lines that occur once.
            names = "".join(f"let name_{chr(97 + index % 26)}x{place * index} = é{index};\n" for place in range(50))
            code = text + names
            yield MixedDocument(Document(str(index), f"source {index % 99}", "", "file", "MIT", code), "mix")
            remaining -= len(code.encode())
            index += 1

    manifest = pack_documents(folder, texts(), tokenizer, replace(SETTINGS, document_masking=True))
    return before, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, manifest.total.bytes


@pytest.mark.slow
def test_memory_does_not_grow_with_the_text(tmp_path, tokenizer):
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        before, peak, size = pool.submit(pack_and_measure, tmp_path, tokenizer, 150).result()
    assert size > 150e6
    assert peak < 1000 and peak - before < 250
