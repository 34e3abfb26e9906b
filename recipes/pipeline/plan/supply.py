"""Text that is prepared for the stages of a recipe."""

from typing import TYPE_CHECKING

from recipes.pipeline.file_names import PREPARED
from recipes.pipeline.folder import differences, kept_settings
from recipes.pipeline.prepare import read_prepared
from recipes.pipeline.stages.stage import FINISHED
from recipes.pipeline.stages.text import TextStage

if TYPE_CHECKING:
    from recipes.pipeline.schema import Recipe


def prepared_text(recipe: "Recipe") -> list[str]:
    """Return sentences about the text that is prepared at the place of the run, and how often each stage reads it."""
    folder = recipe.run_dir / PREPARED
    kept = kept_settings(recipe)
    if kept is None or not (folder / FINISHED).exists():
        return [f"No data is prepared in {folder}: --stage prepare does it, and --plan then says the epochs."]
    if changed := differences(kept, recipe):
        return [f"The data in {folder} is prepared for other settings: {'; '.join(changed)}"]
    prepared = read_prepared(recipe, folder)
    lines = []
    for stage in (stage for stage in recipe.active_stages if isinstance(stage, TextStage)):
        tokens = len(prepared.training[stage.name]) * recipe.data.seq_len
        lines.append(f"Stage {stage.name} has {tokens:,} prepared tokens.")
        lines += [*stage.reads(recipe, prepared), *stage.warnings(recipe, prepared)]
    return lines
