"""An evaluation at several temperatures: one after the other, each in a folder of its own."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from evaluation.results import Results
from evaluation.run import Loading, evaluate_model, load_suites
from evaluation.settings import EvaluationSettings
from evaluation.tables import print_table


def temperature_folder(output_dir: Path, temperature: float) -> Path:
    """Return the folder of the results at a temperature, such as `results/temperature-0.2`."""
    return output_dir / f"temperature-{temperature:g}"


def evaluate_at_temperatures(
    model: str,
    suites: Sequence[str],
    temperatures: Sequence[float],
    output_dir: Path,
    settings: EvaluationSettings,
    *,
    loading: Loading | None = None,
    command: str = "",
    console: Console | None = None,
) -> dict[float | None, list[Results]]:
    """
    Measure a model on suites at several temperatures, and show all results in one table. An interrupted evaluation
    continues when it is called again. Greedy decoding, at temperature 0, has one sample and pass@1.

    Args:
        model, loading, command, console: See `evaluate_model`.
        suites: Names of suites. Those that sample nothing are run once, with their results in `output_dir`.
        temperatures: Different values.
        output_dir: Folder for the folders of the temperatures, see `temperature_folder`.
        settings: Of all suites, at any of the temperatures above 0.

    Returns:
        The results by temperature; at None those of suites that sample nothing.

    Raises:
        ValueError: The temperatures are not different, or as `evaluate_model`.
    """
    names = [f"{temperature:g}" for temperature in temperatures]
    if len(set(names)) < len(names):
        raise ValueError(f"temperatures must be different, got {', '.join(names)}")
    # All values are checked before the first evaluation.
    by_temperature = {temperature: settings.at_temperature(temperature) for temperature in temperatures}

    def log(line: str) -> None:
        if console is not None:
            console.print(line, markup=False)

    loaded = load_suites(suites, settings, log)
    sampling = [suite for suite in loaded if suite.samples_completions]
    if not sampling:
        names = [suite.name for suite in loaded]
        raise ValueError(f"several temperatures need a suite that samples completions, got {', '.join(names)}")
    found: dict[float | None, list[Results]] = {}
    others = [suite for suite in loaded if not suite.samples_completions]
    if others:
        found[None] = evaluate_model(
            model, others, output_dir, settings, loading=loading, command=command, console=console
        )
    for temperature, each in by_temperature.items():
        log(f"Temperature {temperature:g}")
        folder = temperature_folder(output_dir, temperature)
        found[temperature] = evaluate_model(
            model, sampling, folder, each, loading=loading, command=command, console=console
        )
    if console is not None:
        print_table(console, _table(model, {at: found[at] for at in temperatures}))
    return found


def _table(model: str, found: dict[float, list[Results]]) -> Table:
    table = Table(title=f"{model} by temperature")
    for column in ("benchmark", "temperature", "metric", "value", "95 % interval"):
        table.add_column(column, justify="left" if column in ("benchmark", "metric") else "right")
    count = len(next(iter(found.values())))
    for index in range(count):
        for temperature, results in found.items():
            for name, interval in results[index].metrics.items():
                table.add_row(
                    results[index].benchmark,
                    f"{temperature:g}",
                    name,
                    f"{interval.value:.2%}",
                    interval.limits(".2%"),
                )
    return table
