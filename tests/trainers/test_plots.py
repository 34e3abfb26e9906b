"""Plots show what was logged, hide none of it, and say what their axes and the reward mean."""

import math

import pytest
from matplotlib.figure import Figure
from transformers import TrainerState

from evaluation import figures
from tests.helpers.metrics_lines import TESTS_HOLD, maxrl_lines, pretraining_lines, write_lines
from trainers import plots
from trainers.callbacks import MetricsFileCallback
from trainers.reinforcement.plots import meaning_of_success, plot_maxrl


@pytest.fixture
def drawn(monkeypatch):
    """The figures that would be saved, kept to be looked at; pixels take most of the time."""
    kept = []
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: (kept.append(figure), path.touch()))
    return kept


def panels_of(figure):
    return {axis.get_title().partition("\n")[0]: axis for axis in figure.axes if axis.get_title()}


@pytest.mark.parametrize(
    "draw, lines",
    [
        (plots.plot_metrics, list(pretraining_lines(muon=True))),
        (plot_maxrl, list(maxrl_lines())),
    ],
    ids=["text", "maxrl"],
)
def test_axes_are_labelled_and_no_legend_lies_over_data(tmp_path, drawn, draw, lines):
    write_lines(tmp_path, lines)
    draw(tmp_path)
    (figure,) = drawn
    figure.draw_without_rendering()
    for title, axis in panels_of(figure).items():
        assert axis.get_xlabel() == "optimizer steps" and axis.get_ylabel(), title
        if axis.get_legend() is not None:
            assert not axis.get_legend().get_window_extent().overlaps(axis.get_window_extent()), title
            labels = {line.get_label() for line in axis.lines if not line.get_label().startswith("_")}
            assert labels <= {text.get_text() for text in axis.get_legend().get_texts()}


def test_the_difference_to_loop_1_has_a_panel_of_its_own(tmp_path, drawn):
    write_lines(tmp_path, pretraining_lines())
    plots.plot_metrics(tmp_path)
    panel = panels_of(drawn[0])["Loss minus loss after loop 1"]
    curves = {line.get_label(): line.get_ydata() for line in panel.lines}
    assert curves["training, loop 4"] == pytest.approx([-0.03] * 8)
    assert curves["held-out text, loop 4"] == pytest.approx([-0.03] * 4)
    assert panel.get_ylim()[1] - panel.get_ylim()[0] < 0.1


def test_the_held_out_loss_stands_with_the_training_loss(tmp_path, drawn):
    write_lines(tmp_path, pretraining_lines())
    plots.plot_metrics(tmp_path)
    (points,) = [line for line in panels_of(drawn[0])["Loss"].lines if "held-out" in line.get_label()]
    assert list(points.get_xdata()) == [20, 40, 60, 80]


def test_what_was_not_logged_has_no_panel(tmp_path, drawn):
    write_lines(tmp_path, [{"step": step, "loss": 2.0, "learning_rate": 0.1} for step in (1, 2)])
    plots.plot_metrics(tmp_path)
    assert set(panels_of(drawn[0])) == {"Loss", "Learning rate"}


def test_a_last_loop_that_was_logged_alone_keeps_its_number(tmp_path, drawn):
    write_lines(tmp_path, [{"step": step, "loss": 2.0, "loop_2_loss": 3.0} for step in (1, 2)])
    plots.plot_metrics(tmp_path)
    assert set(panels_of(drawn[0])) == {"Loss"}
    assert [(line.get_label(), *line.get_ydata()) for line in drawn[0].axes[0].lines] == [("training, loop 2", 3, 3)]


@pytest.mark.parametrize("success, shown", [(TESTS_HOLD, TESTS_HOLD), (None, "by the reward")])
def test_a_plot_of_reinforcement_learning_says_what_a_success_is(tmp_path, drawn, success, shown):
    write_lines(tmp_path, maxrl_lines(success))
    plot_maxrl(tmp_path)
    assert drawn[0].get_suptitle() == f"Success: {shown}"


def test_rates_of_prompts_with_and_without_tests_stand_beside_the_success_rate(tmp_path, drawn):
    write_lines(tmp_path, [line | {"success_rate/tests": 0.1, "success_rate/compile": 0.7} for line in maxrl_lines()])
    plot_maxrl(tmp_path)
    panel = panels_of(drawn[0])["Success rate and pass@k"]
    assert panel.get_ylim()[1] > 0.7
    assert ["of prompts with tests", "of prompts without tests"] == [line.get_label() for line in panel.lines][-2:]


def test_low_success_rates_fill_their_panel(tmp_path, drawn):
    write_lines(tmp_path, [line | {"pass@16": math.nan} for line in maxrl_lines()])
    plot_maxrl(tmp_path)
    assert panels_of(drawn[0])["Success rate and pass@k"].get_ylim()[1] < 0.2


@pytest.mark.parametrize("draw", [plots.plot_metrics, plot_maxrl])
def test_one_log_is_no_curve(tmp_path, draw):
    write_lines(tmp_path, [{"step": 1, "loss": 2.0}])
    assert draw(tmp_path) is None


def test_a_line_that_was_cut_off_by_a_kill_is_left_out(tmp_path):
    write_lines(tmp_path, [{"step": 1, "loss": 2.0}])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 2, "lo')
    assert plots.read_metrics(tmp_path) == ([{"step": 1, "loss": 2.0}], [])


def test_a_plot_is_never_half_written(tmp_path, monkeypatch):
    figure, _ = figures.panels(1, 1)
    path = figures.save(figure, tmp_path / "metrics.png")
    before = path.read_bytes()

    def killed(figure, target, **settings):
        target.write_bytes(before[:10])
        raise KeyboardInterrupt

    monkeypatch.setattr(Figure, "savefig", killed)
    with pytest.raises(KeyboardInterrupt):
        figures.save(figure, path)
    assert path.read_bytes() == before


def test_every_line_of_the_metrics_tells_what_is_known_of_all(tmp_path):
    callback = MetricsFileCallback(tmp_path / "metrics.jsonl", {"success_means": TESTS_HOLD})
    state = TrainerState(global_step=3)
    callback.on_train_begin(None, state, None)
    callback.on_log(None, state, None, logs={"loss": 1.0})
    assert meaning_of_success(plots.read_metrics(tmp_path)[0]) == TESTS_HOLD
