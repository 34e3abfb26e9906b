"""Hints for names that no setting has, but the design document or other libraries use."""

from collections.abc import Collection, Sequence

from recipes.pipeline.design.configurations import KEYS

OTHER_NAMES: dict[str, tuple[str, ...]] = {
    "lr": ("pretrain.peak_lr", "maxrl.learning_rate"),
    "learning_rate": ("pretrain.peak_lr",),
    "max_lr": ("pretrain.peak_lr",),
    "d_model": ("model.hidden_size",),
    "hidden_dim": ("model.hidden_size",),
    "num_heads": ("model.num_attention_heads",),
    "n_head": ("model.num_attention_heads",),
    "num_layers": ("model.num_shared_layers",),
    "num_hidden_layers": ("model.num_shared_layers",),
    "context_length": ("model.max_position_embeddings",),
    "block_size": ("model.max_position_embeddings",),
    "num_streams": ("model.mhc_num_streams",),
    "n_streams": ("model.mhc_num_streams",),
    "max_steps": ("pretrain.total_steps",),
    "steps": ("pretrain.total_steps",),
    "gradient_accumulation_steps": ("training.micro_batch_size",),
    "per_device_train_batch_size": ("training.micro_batch_size",),
    "max_grad_norm": ("training.grad_clip",),
    "bf16": ("hardware.mixed_precision",),
    "dataset_mix": ("data.mix",),
    "workers": ("hardware.dataloader_num_workers", "hardware.preparation_workers"),
    "omp_num_threads": ("hardware.cpu_threads",),
}
"""Names of other libraries, each with the settings that it may mean."""


def hint(section: str, name: str, known: Collection[str] = (), of_kind: Sequence[str] = ()) -> str | None:
    """
    Return what to use instead of a name.

    Args:
        section: Section in which the name was given; "" for none.
        name: The name, without a section.
        known: Settings of the recipe, or of the section. Of a stage, its own setting is meant and not that of the
            first stage.
        of_kind: Settings of this name of the stages whose kind is the section.

    Returns:
        A clause such as "use model.hidden_size", or a sentence about why there is no such setting; None for a name
        that is not known.
    """
    if of_kind:
        return f"use {' or '.join(of_kind)}"
    meant = OTHER_NAMES.get(name.lower())
    sentence = ""
    if meant is None:
        key = next((key for key in KEYS if key.name.rpartition(".")[2] == name), None)
        if key is None:
            return None
        if key.setting is None:
            switch = "" if key.switch is None else f" ({key.switch})"
            return f"{key.sentence.rstrip('.')}{switch}"
        meant, sentence = (key.setting,), key.sentence
    here = [each for each in (f"{section}.{setting.rpartition('.')[2]}" for setting in meant) if each in known]
    there = [each for each in meant if each in known]
    explained = f". {sentence.rstrip('.')}" if sentence else ""
    return f"use {' or '.join(here or there or meant)}{explained}"
