"""CONFIG_A, CONFIG_B and CONFIG_C of the design document, key by key; the table is also used for hints."""

from recipes.pipeline.design.key import Key, Part, Values
from recipes.pipeline.design.values import CONFIGURATIONS


def _stable_steps(settings: Values, document: Values) -> int:
    around = settings["pretrain.warmup_steps"] + settings["pretrain.decay_steps"]
    return settings["pretrain.total_steps"] - around


def _accumulation_steps(settings: Values, document: Values) -> int:
    rows = settings["training.micro_batch_size"] * document.get("distributed.world_size", 1)
    return settings["pretrain.batch_size"] // rows


def _mix_key(name: str, sentence: str) -> Key:
    return Key(
        f"data.dataset_mix.{name}", "data.mix", sentence, read=lambda settings, _: settings["data.mix"].get(name)
    )


MODEL = (
    Key("model.dim", "model.hidden_size"),
    Key("model.n_layers", "model.num_shared_layers", "Blocks of the stack that every loop applies."),
    Key("model.n_heads", "model.num_attention_heads"),
    Key(
        "model.vocab_size",
        "data.vocab_size",
        "The tokenizer's. The model's is 50,304, the next multiple of 128, which GPUs multiply faster.",
    ),
    Key("model.max_seq_len", "model.max_position_embeddings"),
    Key("model.group_size", "model.ternary_group_size", "Weights that share a scale."),
    Key("model.mhc_n_streams", "model.mhc_num_streams"),
    Key("model.n_loops", "model.num_loops"),
)
TRAINING = (
    Key(
        "training.batch_size",
        "pretrain.batch_size",
        "Rows of an optimizer step, over all GPUs and accumulated passes.",
    ),
    Key("training.seq_len", "pretrain.seq_len", "The data is packed to data.seq_len, which is equal."),
    Key("training.total_steps", "pretrain.total_steps"),
    Key("training.warmup_steps", "pretrain.warmup_steps"),
    Key(
        "training.stable_steps",
        "pretrain.total_steps",
        "Follows: total_steps less warmup_steps and decay_steps.",
        read=_stable_steps,
    ),
    Key("training.decay_steps", "pretrain.decay_steps"),
    Key("training.peak_lr", "pretrain.peak_lr", "With Muon and Lion their own rates hold; later stages scale by it."),
    Key("training.min_lr", "pretrain.min_lr", "As a share of peak_lr it holds for Muon and Lion, too."),
    Key("training.muon_lr", "training.muon_lr"),
    Key("training.lion_lr", "training.lion_lr"),
    Key("training.entropy_weight", "model.exit_entropy_weight", "A stage may have its own exit_entropy_weight."),
    Key(
        "training.max_loop_depth",
        "model.num_loops",
        "The model is trained on all its loops; forward and generate take a smaller num_loops.",
    ),
    Key("training.grad_clip", "training.grad_clip"),
    Key(
        "training.accumulation_steps",
        "training.micro_batch_size",
        "Follows: batch_size over the rows of a pass (micro_batch_size) and the number of GPUs.",
        read=_accumulation_steps,
        difference="The rows of a pass are those that fit the GPU's memory; the optimizer's step is the same.",
    ),
)
DISTRIBUTED = (
    Key(
        "distributed.world_size",
        None,
        "One process for each GPU; the batch is divided among them.",
        switch="num_processes in recipes/launch/ddp_2.yaml",
    ),
    Key(
        "distributed.tensor_parallel",
        None,
        "Recipes refuse it. Muon orthogonalizes whole matrices, and tensor parallelism exchanges activations in every "
        "block of every loop, without NVLink. Each GPU has the whole model and half of the batch (DDP) instead; where "
        "it does not fit, recipes/launch/fsdp2_2.yaml shards it.",
    ),
    Key(
        "distributed.pipeline_parallel",
        None,
        "Off here, too: every loop applies the same blocks, so a pipeline would pass the state around in every loop.",
    ),
    Key(
        "distributed.backend",
        None,
        "accelerate chooses NCCL on GPUs and Gloo on CPUs.",
        switch="torch.distributed.init_process_group",
    ),
    Key(
        "distributed.init_method",
        None,
        "PyTorch's default: `accelerate launch` sets the variables that it reads.",
        switch="torch.distributed.init_process_group",
    ),
    Key("distributed.bucket_size_mb", "hardware.ddp_bucket_cap_mb"),
    Key(
        "distributed.allreduce_bucket_size",
        None,
        "An option of DeepSpeed, which is not used. PyTorch's DDP has one bucket size, hardware.ddp_bucket_cap_mb.",
    ),
)
DATA = (
    Key("data.num_workers", "hardware.dataloader_num_workers", "For each training process."),
    Key("data.prefetch_factor", "hardware.dataloader_prefetch_factor"),
    Key("data.pin_memory", "hardware.dataloader_pin_memory"),
    _mix_key("high_quality_rust", "Files of real projects that passed the filters."),
    _mix_key("verified_examples", "Real code that the compiler accepted."),
    _mix_key("synthetic_data", "Generated programs that the compiler and their tests accepted."),
    _mix_key("documentation", "Examples of books and doc comments."),
    Key("data.verify_every_n_examples", "data.verify_every_n_examples"),
    Key("data.min_compile_rate", "data.min_compile_rate"),
)
HARDWARE = (
    Key(
        "hardware.numa_aware",
        "hardware.numa",
        'False is "off". True is "interleave", as the document\'s numactl does; "bind" would leave a process only the '
        "processors next to its GPU.",
        read=lambda settings, _: settings["hardware.numa"] != "off",
    ),
    Key("hardware.numa_nodes", "hardware.numa_nodes", "The machine's own number; another one is a warning."),
    Key(
        "hardware.cpu_threads",
        "hardware.cpu_threads",
        "Threads of PyTorch's operations (torch.set_num_threads).",
        difference="openmp_threads wins, because these threads are OpenMP's: 224 would be two for each core of the "
        "affinity 0-111.",
    ),
    Key("hardware.interop_threads", "hardware.interop_threads", "torch.set_num_interop_threads."),
    Key(
        "hardware.gpu_memory_fraction",
        "hardware.gpu_memory_fraction",
        "torch.cuda.set_per_process_memory_fraction.",
    ),
    Key(
        "hardware.mixed_precision",
        "hardware.mixed_precision",
        'True is "bf16". fp16 would need a loss scale and is not used.',
        read=lambda settings, _: settings["hardware.mixed_precision"] == "bf16",
    ),
    Key(
        "hardware.gradient_checkpointing",
        "training.checkpointing",
        "True is one of the kinds that recompute activations.",
        read=lambda settings, _: settings["training.checkpointing"] != "none",
    ),
    Key(
        "hardware.tensor_parallel_size",
        None,
        "Each GPU has the whole model and its share of the batch (DDP), or FSDP2 shards it: see "
        "distributed.tensor_parallel.",
    ),
    Key(
        "hardware.preferred_kernel",
        None,
        "PyTorch chooses kernels by the device and the processor's instructions, and training.compile_blocks compiles "
        "the block for them. The 3995WX (Zen 2) has no AVX-512.",
        switch="ATEN_CPU_CAPABILITY",
    ),
    Key(
        "hardware.fallback_kernel",
        None,
        "PyTorch falls back by itself to the instructions that the processor has.",
        switch="ATEN_CPU_CAPABILITY",
    ),
    Key(
        "hardware.cuda_math_mode",
        "hardware.tf32",
        '"fast" is True: fp32 products beside bf16 autocast use TF32.',
        read=lambda settings, _: "fast" if settings["hardware.tf32"] else "exact",
    ),
    Key("hardware.use_openmp", None, "PyTorch's operations on the CPU always use OpenMP's threads."),
    Key(
        "hardware.openmp_threads", "hardware.cpu_threads", "PyTorch's threads are OpenMP's; replaces OMP_NUM_THREADS."
    ),
)
KEYS = (*MODEL, *TRAINING, *DISTRIBUTED, *DATA, *HARDWARE)
"""All keys of the three configurations."""

CONFIGURATION = Part(
    title="The configurations",
    introduction="Every key of `CONFIG_A`, `CONFIG_B` and `CONFIG_C`.",
    where={name: name.upper() for name in CONFIGURATIONS},
    keys=KEYS,
    values=CONFIGURATIONS,
)
