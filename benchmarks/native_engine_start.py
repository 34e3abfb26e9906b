"""Start and memory of the native engine, each measured in a process of its own; used by `native_engine.py`."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from modeling_nanochat import LoopLMForCausalLM
from runtime.build import CACHE_VARIABLE

ROOT = Path(__file__).resolve().parents[1]
START = """
import time
from runtime.interface import functions
started = time.perf_counter()
functions()
print(time.perf_counter() - started)
"""
LOAD = """
import ctypes, gc, json, sys
from pathlib import Path
from runtime.engine import Engine
from runtime.interface import functions
from runtime.settings import SamplingSettings

def resident():
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * {page}

functions()
before = resident()
engine = Engine.from_pretrained(sys.argv[1], threads=1)
loaded = resident()
largest = loaded
def watch(completion, token):
    global largest
    largest = max(largest, resident())
    return False
tokens = {positions} - 1
engine.generate([[3]], SamplingSettings(max_new_tokens=tokens), watch)
print(json.dumps([loaded - before, largest - loaded]))
"""
FLOAT_BYTES = 4


@dataclass(frozen=True)
class Start:
    """
    Start and memory.

    Attributes:
        compile_seconds: Time of the first use, which compiles the library.
        start_seconds: Time of a later use, up to the loaded library.
        packed_bytes: Size of the packed file.
        loaded_bytes: Growth of the resident memory by loading it.
        positions: Number of tokens of a text.
        cache_bytes: Bytes of their keys and values.
        generation_bytes: Largest growth of the resident memory while the text is generated.
    """

    compile_seconds: float
    start_seconds: float
    packed_bytes: int
    loaded_bytes: int
    positions: int
    cache_bytes: int
    generation_bytes: int


def measure_start(model: LoopLMForCausalLM, folder: Path, positions: int) -> Start:
    """
    Measure start and memory.

    Args:
        model: The model.
        folder: Empty folder for a compiled library and a packed model.
        positions: Number of tokens of the text whose memory is measured.
    """
    environment = os.environ | {CACHE_VARIABLE: str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    first, *later = (float(_run(START, environment)) for _ in range(4))
    packed = folder / "packed"
    config = model.config
    model.pack().save_pretrained(packed)
    script = LOAD.format(page=os.sysconf("SC_PAGE_SIZE"), positions=positions)
    loaded, generation = json.loads(_run(script, environment, str(packed)))
    assert config.num_key_value_heads is not None and config.head_dim is not None, "a configuration fills them in"
    heads = config.num_key_value_heads * config.head_dim
    cache = 2 * FLOAT_BYTES * heads * config.num_shared_layers * config.num_loops * positions
    size = sum(file.stat().st_size for file in packed.glob("*.safetensors"))
    return Start(first, min(later), size, loaded, positions, cache, generation)


def _run(script: str, environment: dict[str, str], *arguments: str) -> str:
    command = [sys.executable, "-c", script, *arguments]
    finished = subprocess.run(command, env=environment, check=True, stdout=subprocess.PIPE, text=True)
    return finished.stdout.strip().splitlines()[-1]
