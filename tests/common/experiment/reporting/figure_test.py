from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import AxesImage
from matplotlib.text import Text

from common.experiment.reporting import embedding_figure, example_figure, figure_style
from common.experiment.reporting import figure as figures
from configs import catalogue

CLASSES = [str(index) for index in range(10)]
ROWS = ("source_only", "dann", "train_on_target")
COLORS = figure_style.colors_of(ROWS)
ACCURACY = {
    "source_only": {0: 0.55, 1: 0.57, 2: 0.59, 3: 0.61},
    "dann": {0: 0.75, 1: 0.79, 2: 0.77, 3: 0.72},
    "train_on_target": {0: 0.99, 1: 0.98, 2: 0.99, 3: 0.99},
}


def texts(figure):
    """Lists the texts that are drawn, each with the box it takes, in pixels."""
    renderer = FigureCanvasAgg(figure).get_renderer()
    # Ticks outside of the axes' limits are kept, and not drawn.
    hidden = {
        label
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks())
        if not min(axis.get_view_interval()) <= tick.get_loc() <= max(axis.get_view_interval())
        for label in (tick.label1, tick.label2)
    }
    return [
        (text.get_text(), text.get_window_extent(renderer))
        for text in figure.findobj(Text)
        if text.get_text().strip() and text.get_visible() and text not in hidden
    ]


def assert_legible(figure):
    """Asserts that no text leaves the picture or lies on another one."""
    figure.canvas.draw()
    width, height = figure.get_size_inches() * figure.dpi
    assert width == 1200
    boxes = [(text, box) for text, box in texts(figure) if box.width]
    for index, (text, box) in enumerate(boxes):
        inside = min(box.x0, box.y0) >= 0 and box.x1 <= width and box.y1 <= height
        assert inside, f"{text!r} leaves the picture"
        for other, other_box in boxes[:index]:
            overlap = box.padded(-1).overlaps(other_box.padded(-1))
            assert not overlap, f"{text!r} lies on {other!r}"


def make_records(final, strength=None):
    records = []
    for step in range(100, 2001, 100):
        progress = step / 2000
        record = {"step": step, "train/task_loss": 2 * np.exp(-5 * progress)}
        if step % 200 == 0:
            record["oracle/target_test_accuracy"] = final * (1 - np.exp(-4 * progress))
        if strength:
            record["train/domain_adversarial/domain_accuracy"] = 0.9 - 0.3 * progress
            record["train/domain_adversarial/reversal_strength"] = strength * progress
        records.append(record)
    return records


def make_outputs(seed=0, channels=1, num_classes=10, num_examples=40):
    rng = np.random.default_rng(seed)
    label = np.arange(num_examples) % num_classes
    return {
        "source_val/features": rng.normal(size=(num_examples, 8)) + 3 * label[:, None],
        "target_test/features": rng.normal(size=(num_examples, 8)) + 3 * label[:, None],
        "source_val/label": label,
        "source_val/prediction": label,
        "oracle/target_test_label": label,
        "target_test/prediction": np.where(rng.random(num_examples) < 0.3, 0, label),
        "source_val/image": np.full((num_examples, 8, 8, channels), 8, np.uint8),
        "target_test/image": np.full((num_examples, 8, 8, channels), 4, np.uint8),
        "value_max": np.asarray(16.0),
    }


def make_confusions(num_classes=10):
    share = np.full((num_classes, num_classes), 1) + 30 * np.eye(num_classes, dtype=int)
    return {"source_only": np.stack([share] * 4), "dann": np.stack([share * 2] * 4)}


def test_accuracy_shows_means_intervals_and_pairs():
    figure = figures.accuracy_by_method(ACCURACY, COLORS, title="Task")
    assert_legible(figure)
    shown = [text for text, _ in texts(figure)]
    # The standard deviation of .55, .57, .59, .61 is .0258, and t(.975, 3) is 3.182.
    assert "58.0 ± 4.1 %" in shown
    assert any(text.startswith("+17.8 points [+") for text in shown)
    lines = [line for line in figure.axes[0].lines if np.unique(line.get_ydata()).size == 2]
    assert len(lines) == 4


def test_accuracy_of_one_seed_has_no_interval():
    one = {row: {0: values[0]} for row, values in ACCURACY.items()}
    figure = figures.accuracy_by_method(one, COLORS, title="Task")
    assert_legible(figure)
    shown = [text for text, _ in texts(figure)]
    assert {"55.0 %", "one seed", "+20.0 points"} <= set(shown)


@pytest.mark.parametrize("rows", [("dann",), ("source_only",), ("dann", "train_on_target")])
def test_accuracy_goes_without_a_row(rows):
    figure = figures.accuracy_by_method({row: ACCURACY[row] for row in rows}, COLORS, title="T")
    assert_legible(figure)


def test_training_curves_leave_out_what_nobody_has():
    runs = {"source_only": [make_records(0.57)], "dann": [make_records(0.77, 0.3)] * 3}
    figure = figures.training_curves(runs, COLORS, title="Training")
    assert_legible(figure)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0] == "target test accuracy, %  (oracle)" and len(titles) == 4

    figure = figures.training_curves({"source_only": [make_records(0.57)]}, COLORS, title="T")
    assert len(figure.axes) == 2
    with pytest.raises(ValueError, match="no record has a value"):
        figures.training_curves({"source_only": [[]]}, COLORS, title="T")


def test_training_curves_are_medians_in_the_middle_half():
    runs = [[{"step": 100, "train/task_loss": value}] * 1 for value in (1.0, 2.0, 3.0, 4.0, 100.0)]
    # A step that one run of five has reached shows that run alone, and is left out.
    runs[0].append({"step": 200, "train/task_loss": 0.5})
    figure = figures.training_curves({"dann": runs}, COLORS, title="T")
    (line,), (band,) = figure.axes[0].lines, figure.axes[0].collections
    assert (line.get_xdata(), line.get_ydata()) == ([100], [3.0])
    heights = np.asarray(band.get_paths()[0].vertices)[:, 1]
    assert (heights.min(), heights.max()) == (2.0, 4.0)


def test_confusion_is_normalised_by_line():
    counts = make_confusions(2)
    counts["dann"] = np.stack([np.asarray([[30, 10], [0, 5]]), np.asarray([[1, 1], [5, 5]])])
    figure = figures.confusion(counts, ["cat", "dog"], title="Task")
    assert_legible(figure)
    image = np.asarray(figure.axes[1].findobj(AxesImage)[0].get_array())
    np.testing.assert_allclose(image, [[62.5, 37.5], [25, 75]])


@pytest.mark.parametrize("num_classes", [10, 20, 31])
def test_confusion_names_do_not_overlap(num_classes):
    names = [f"desktop_computer {index}" for index in range(num_classes)]
    figure = figures.confusion(make_confusions(num_classes), names, title="Task")
    assert_legible(figure)


def test_confusion_shows_a_class_without_examples_as_empty():
    counts = make_confusions()
    counts["dann"][:, 3] = 0
    assert_legible(figures.confusion(counts, CLASSES, title="Task"))


def test_embedding_shows_domains_and_classes():
    outputs = {"source_only": make_outputs(0), "dann": make_outputs(1)}
    figure = embedding_figure.embedding(outputs, CLASSES, title="Features by t-SNE")
    assert_legible(figure)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == [
        *("source_only: by domain", "source_only: by class"),
        *("dann: by domain", "dann: by class"),
    ]
    again = embedding_figure.embedding(outputs, CLASSES, title="Features by t-SNE")
    offsets = [own.axes[0].collections[0].get_offsets() for own in (figure, again)]
    np.testing.assert_array_equal(offsets[0], offsets[1])


def test_embedding_groups_the_classes_beyond_its_colors():
    names = [f"class {index}" for index in range(13)]
    figure = embedding_figure.embedding({"dann": make_outputs(num_classes=13)}, names, title="T")
    assert_legible(figure)
    assert "other" in [text for text, _ in texts(figure)]


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("names", [CLASSES, [f"desktop_computer_{i}" for i in range(10)]])
def test_pictures_come_with_labels_and_predictions(channels, names):
    outputs = {row: make_outputs(0, channels) for row in ("source_only", "dann")}
    wrong = make_outputs(0, channels)["target_test/prediction"].copy()
    wrong[2] = 7
    outputs["dann"]["target_test/prediction"] = wrong
    figure = example_figure.sample_pictures(outputs, names, COLORS, title="Pictures")
    assert_legible(figure)
    assert f"{names[7]} ✗" in [text for text, _ in texts(figure)]
    shown = np.asarray(figure.axes[0].findobj(AxesImage)[0].get_array())
    np.testing.assert_array_equal(shown.ravel()[:1], [0.5])


def test_pictures_are_the_first_of_each_class():
    order = example_figure._first_of_each(np.asarray([2, 2, 0, 1, 0]), 4)
    assert order == [2, 3, 0, 4]


def test_vectors_are_no_pictures():
    outputs = make_outputs()
    outputs["source_val/image"] = outputs["source_val/image"].reshape(40, -1)
    with pytest.raises(ValueError, match="no pictures"):
        example_figure.sample_pictures({"dann": outputs}, CLASSES, COLORS, title="T")


def test_runs_with_different_pictures_are_not_shown_together():
    other = make_outputs()
    other["target_test/image"] = other["target_test/image"] + 1
    with pytest.raises(ValueError, match="different target pictures"):
        example_figure.sample_pictures(
            {"source_only": make_outputs(), "dann": other}, CLASSES, COLORS, title="T"
        )


def test_change_shows_losses_left_of_zero():
    change = np.tile(np.linspace(-0.1, 0.3, 10), (4, 1)) + 0.01 * np.arange(4)[:, None]
    change[:, 5] = np.nan
    rows = {"dann": change, "mcc": change / 2}
    colors = figure_style.colors_of(rows)
    figure = figures.per_class_change(rows, CLASSES, colors, title="Change")
    assert_legible(figure)
    lines = figure.axes[0].lines
    dots = np.concatenate([line.get_xdata() for line in lines if line.get_marker() == "o"])
    np.testing.assert_allclose(dots[:9], 100 * np.delete(change.mean(0), 5))


def test_long_names_of_rows_stay_in_the_picture():
    rows = [f"fine_tune, target_labels_per_class=all, freeze=last_{k}_stages" for k in range(4)]
    changes = {row: np.linspace(-0.1, 0.1, 20).reshape(2, 10) for row in rows}
    colors = figure_style.colors_of(rows)
    assert_legible(figures.per_class_change(changes, CLASSES, colors, title="Change"))
    counts = dict(zip(rows, make_confusions().values(), strict=False))
    assert_legible(figures.confusion(counts, CLASSES, title="Task"))
    outputs = {row: make_outputs(index) for index, row in enumerate(rows[:2])}
    distances = dict.fromkeys(rows, 1.5)
    options: dict[str, Any] = {"projection": "PCA", "distances": distances}
    assert_legible(embedding_figure.embedding(outputs, CLASSES, title="Features", **options))


def test_names_are_shown_as_they_are():
    rows = {"$x_1$": {0: 0.5}, "50 %": {0: 0.6}}
    figure = figures.accuracy_by_method(rows, figure_style.colors_of(rows), title="$a < b$")
    assert {"$x_1$", "$a < b$"} <= {text for text, _ in texts(figure)}


def test_rows_keep_their_colors():
    many = [*ROWS, "dann, strength=0.1", "dann, strength=1.0", "afn", "bsp"]
    colors = figure_style.colors_of(many)
    assert len(set(colors.values())) == len(many)
    assert colors.items() >= COLORS.items()


def test_figures_leave_the_settings_of_matplotlib_alone():
    with matplotlib.rc_context({"font.size": 3, "axes.grid": True}):
        before = dict(matplotlib.rcParams)
        figure = figures.per_class_change({"dann": np.zeros((1, 2))}, ["a", "b"], COLORS, title="T")
        assert dict(matplotlib.rcParams) == before
    assert figure.axes[0].get_yticklabels()[0].get_fontsize() == figure_style.STYLE["font.size"]


def test_every_row_of_a_large_study_has_a_colour_of_its_own():
    rows = [*catalogue.PLAIN, *catalogue.TERMS, *catalogue.METHODS]
    assert len(set(figure_style.colors_of(rows).values())) == len(rows)
