"""Recipes that others change a few lines of."""

from recipes.pipeline.data_settings import DataSettings
from recipes.pipeline.file_names import SOURCE
from recipes.pipeline.schema import Recipe, TrainingSettings
from recipes.pipeline.source_settings import SourceSettings
from recipes.pipeline.stages.distill import Distill
from recipes.pipeline.stages.evaluate import Evaluate
from recipes.pipeline.stages.export import Export
from recipes.pipeline.stages.gate import TrainGate
from recipes.pipeline.stages.maxrl import MaxRL
from recipes.pipeline.stages.pretrain import Pretrain, Sft


def small() -> Recipe:
    """A ternary LoopLM of two blocks and four loops, trained for a few minutes on two processor cores."""
    from modeling_nanochat import LoopLMConfig

    return Recipe(
        name="small",
        description="a ternary LoopLM of two blocks and four loops, trained for a few minutes on real Rust",
        model=LoopLMConfig(
            vocab_size=4096,
            hidden_size=256,
            intermediate_size=512,
            num_shared_layers=2,
            num_loops=4,
            num_attention_heads=4,
            num_key_value_heads=2,
            max_position_embeddings=512,
            ternary_group_size=256,
            exit_entropy_weight=0.5,
        ),
        data=DataSettings(seq_len=512, vocab_size=4096),
        training=TrainingSettings(micro_batch_size=2, logging_steps=20, save_steps=60, eval_steps=60, eval_prompts=24),
        stages=(
            Pretrain(
                total_steps=300,
                batch_size=2,
                seq_len=512,
                peak_lr=1.2e-3,
                min_lr=1.2e-4,
                warmup_steps=20,
                decay_steps=100,
            ),
            Sft(total_steps=0, batch_size=2, seq_len=512, peak_lr=6e-4, min_lr=6e-5),
            TrainGate(total_steps=0, batch_size=2, seq_len=512),
            Evaluate(suites=("semantic", "perplexity"), limit=16),
            Export(gguf="tq2_0"),
        ),
    )


def large() -> Recipe:
    """A ternary LoopLM of a billion parameters, trained with Muon and Lion, then with MaxRL."""
    from modeling_nanochat import LoopLMConfig

    return Recipe(
        name="large",
        description="1.3 billion parameters in 24 blocks and four loops",
        model=LoopLMConfig(
            vocab_size=50304,
            hidden_size=2048,
            intermediate_size=5632,
            num_shared_layers=24,
            num_loops=4,
            num_attention_heads=16,
            max_position_embeddings=8192,
            mhc_num_streams=4,
            exit_entropy_weight=0.05,
        ),
        data=DataSettings(
            seq_len=8192,
            vocab_size=50257,
            synthetic_samples=20_000,
            tasks=5000,
            licenses=("permissive",),
            verify=True,
        ),
        training=TrainingSettings(
            micro_batch_size=4,
            optimizer="muon_lion",
            muon_lr=0.02,
            lion_lr=1e-4,
            grad_clip=5.0,
            logging_steps=20,
            save_steps=1000,
            eval_steps=1000,
            eval_prompts=104,
            checkpointing="auto",
            compile_blocks=True,
        ),
        stages=(
            Pretrain(
                total_steps=100_000,
                batch_size=32,
                seq_len=8192,
                peak_lr=3e-4,
                min_lr=3e-5,
                warmup_steps=2000,
                decay_steps=18_000,
            ),
            MaxRL(
                total_steps=50_000,
                prompts_per_step=16,
                num_generations=16,
                micro_batch_size=8,
                max_completion_length=1024,
                learning_rate=1e-6,
                warmup_steps=100,
                reward_threshold=0.9,
                held_out_tasks=128,
                sample_steps=500,
                eval_steps=1000,
            ),
            Pretrain(
                name="long_context",
                total_steps=0,
                batch_size=4,
                seq_len=65536,
                peak_lr=1e-5,
                warmup_steps=200,
                schedule="constant",
                exit_entropy_weight=0.01,
                rope_theta=1e6,
            ),
            TrainGate(total_steps=0, batch_size=32, seq_len=8192),
            Evaluate(
                suites=("humaneval-rust", "compile-rate", "semantic", "exercism", "rustc", "perplexity"), samples=20
            ),
            Export(gguf="auto"),
        ),
    )


def adapted(source: SourceSettings, tokens: int) -> Recipe:
    """
    A model that exists, made looped and ternary, that learns from what it was, then from verified tasks.

    Args:
        source: The model, and what becomes of it.
        tokens: Number of tokens of its tokenizer.
    """
    return Recipe(
        name="adapted",
        description="a model that exists, made looped and ternary",
        model=source.model_config(exit_entropy_weight=0.05),
        source=source,
        data=DataSettings(seq_len=512, vocab_size=tokens, synthetic_samples=5000, tasks=2000),
        training=TrainingSettings(
            micro_batch_size=8,
            logging_steps=20,
            save_steps=500,
            eval_steps=500,
            eval_seconds=60.0,
            eval_prompts=24,
            checkpointing="auto",
        ),
        stages=(
            Distill(
                teacher=SOURCE,
                total_steps=4000,
                batch_size=32,
                seq_len=512,
                peak_lr=3e-4,
                min_lr=3e-5,
                warmup_steps=100,
                decay_steps=1000,
                hard_weight=0.5,
                self_distillation_weight=0.5,
                ternary_warmup=0.25,
            ),
            Sft(
                total_steps=500,
                batch_size=32,
                seq_len=512,
                peak_lr=1e-4,
                min_lr=1e-5,
                warmup_steps=20,
                decay_steps=200,
                mix={"tasks": 2, "synthetic": 1, "text": 1},
            ),
            MaxRL(
                total_steps=500,
                prompts_per_step=16,
                num_generations=16,
                micro_batch_size=32,
                max_completion_length=256,
                learning_rate=5e-6,
                warmup_steps=20,
                eval_steps=120,
            ),
            TrainGate(total_steps=0, batch_size=32, seq_len=512),
            Evaluate(suites=("humaneval-rust", "compile-rate", "semantic", "perplexity")),
            Export(gguf="auto"),
        ),
    )
