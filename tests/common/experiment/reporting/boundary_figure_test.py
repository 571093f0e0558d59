"""Tests of the figure of decision boundaries, on made-up arrays."""

import json

import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_rgb
from matplotlib.image import AxesImage
from PIL import Image

from common.experiment import report
from common.experiment.reporting import boundary_figure, figure_style
from tests.common.experiment.reporting.figure_test import assert_legible, texts
from tests.made_up_runs import ACCURACY, SEEDS, write_run

CLASSES = ("upper", "lower")
ROWS = ("source_only", "dann")
COLORS = figure_style.colors_of(ROWS)


def make_outputs(seed, slope, num_classes=2):
    """Makes a field that is cut by a line through the origin."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid(np.linspace(-3, 3, 31), np.linspace(-2, 2, 21)), axis=-1)

    def predict(points):
        above = points[..., 1] > slope * points[..., 0]
        return np.where(above, 0, (num_classes - 1) * (points[..., 0] > -1))

    target = rng.uniform(-2, 2, (60, 2)).astype(np.float32)
    source = rng.uniform(-2, 2, (60, 2)).astype(np.float32)
    return {
        "source_val/features": rng.normal(size=(60, 8)),
        "source_val/label": predict(source),
        "source_val/prediction": predict(source),
        "source_val/image": source,
        "target_test/features": rng.normal(size=(60, 8)),
        "target_test/prediction": predict(target),
        "target_test/image": target,
        "oracle/target_test_label": rng.integers(0, num_classes, 60),
        "grid/image": grid,
        "grid/prediction": predict(grid),
        "value_max": np.asarray(1.0),
    }


def make_rows(num_seeds, num_classes=2):
    return {
        row: {seed: make_outputs(seed, slope, num_classes) for seed in range(num_seeds)}
        for row, slope in zip(ROWS, (0.2, -0.5), strict=True)
    }


def draw(rows, classes=CLASSES):
    accuracy = {
        row: {seed: 0.7 + 0.01 * seed + 0.005 * index for seed in own}
        for index, (row, own) in enumerate(rows.items())
    }
    return boundary_figure.decision_boundary(rows, accuracy, COLORS, classes, title="Task")


def panels_of(figure):
    return [axes for axes in figure.axes if axes.images]


@pytest.mark.parametrize("num_seeds", [1, 2, 6, 7, 12])
def test_every_seed_has_a_panel_a_row_with_its_accuracy(num_seeds):
    figure = draw(make_rows(num_seeds))
    assert_legible(figure)
    assert len(panels_of(figure)) == 2 * num_seeds
    shown = [text for text, _ in texts(figure)]
    for seed in range(num_seeds):
        assert f"seed {seed}\n{70 + seed:.1f} %" in shown
        assert f"{70.5 + seed:.1f} %" in shown
    assert set(ROWS) <= set(shown)


def test_more_seeds_than_fit_are_left_out(monkeypatch):
    monkeypatch.setattr(boundary_figure, "MAX_SEEDS", 2)
    rows = make_rows(boundary_figure.MAX_SEEDS + 1)
    assert len(panels_of(draw(rows))) == 2 * boundary_figure.MAX_SEEDS


def test_fields_and_points_lie_where_they_are():
    rows = make_rows(1)
    for axes, own in zip(panels_of(draw(rows)), (rows["source_only"], rows["dann"]), strict=True):
        (field,) = axes.findobj(AxesImage)
        np.testing.assert_array_equal(np.asarray(field.get_array()), own[0]["grid/prediction"])
        assert field.origin == "lower"
        assert field.get_extent() == [-3, 3, -2, 2]
        source, target = axes.findobj(PathCollection)
        np.testing.assert_allclose(np.asarray(source.get_offsets()), own[0]["source_val/image"])
        np.testing.assert_allclose(np.asarray(target.get_offsets()), own[0]["target_test/image"])
        expected = [
            to_rgb(boundary_figure.CLASS_COLORS[label])
            for label in own[0]["oracle/target_test_label"]
        ]
        np.testing.assert_allclose(np.asarray(target.get_facecolor())[:, :3], expected)


def test_one_class_everywhere_has_no_border():
    rows = make_rows(1)
    rows["dann"][0]["grid/prediction"][:] = 1
    assert_legible(draw(rows))


def test_three_classes_have_three_fields():
    classes = ("left", "middle", "right")
    figure = draw(make_rows(2, num_classes=3), classes)
    assert_legible(figure)
    assert {f"taken for {name}" for name in classes} <= {text for text, _ in texts(figure)}


def test_too_many_classes_or_no_seed_are_refused():
    with pytest.raises(ValueError, match="8 classes are more than can be told apart"):
        draw(make_rows(1), list(map(str, range(8))))
    with pytest.raises(ValueError, match="no seed for which source_only and dann have outputs"):
        draw({"source_only": {}, "dann": {}})


@pytest.fixture
def plane(tmp_path):
    """Runs on points of the plane."""
    experiment = tmp_path / "moons"
    for method in ROWS:
        for seed, accuracy in zip(SEEDS, ACCURACY[method], strict=True):
            folder = write_run(experiment, method, seed, accuracy, task=("moons", "rotated_moons"))
            result = json.loads((folder / "result.json").read_text())
            result |= {"classes": CLASSES, "example_shape": [2]}
            for chosen in result["selections"].values():
                chosen["oracle/target_test_confusion"] = [[50, 0], [10, 40]]
            (folder / "result.json").write_text(json.dumps(result))
            np.savez_compressed(folder / "outputs.npz", **make_outputs(seed, 0.3))
    return experiment


def test_report_shows_boundaries_instead_of_pictures(plane):
    made = report.write_report([plane])
    names = [path.stem for path in made.figures]
    assert "decision_boundary" in names and "embedding" in names and "sample_pictures" not in names
    text = made.path.read_text()
    assert "](figures/decision_boundary.png)" in text and text.endswith("Nothing.\n")
    with Image.open(plane / "report" / "figures" / "decision_boundary.png") as picture:
        assert picture.width == 1200


@pytest.mark.parametrize(("fit", "shown"), [(3, "first 3 of 4 seeds"), (4, "target test accuracy")])
def test_the_title_says_where_seeds_are_left_out(plane, monkeypatch, fit, shown):
    monkeypatch.setattr(boundary_figure, "MAX_SEEDS", fit)
    titles, draw_planes = [], boundary_figure.decision_boundary

    def recorded(outputs, *arguments, title):
        titles.append((len(outputs["dann"]), title))
        return draw_planes(outputs, *arguments, title=title)

    monkeypatch.setattr(boundary_figure, "decision_boundary", recorded)
    made = report.write_report([plane])
    ((count, title),) = titles
    assert count == fit and title.startswith("moons → rotated_moons: decision boundary")
    assert title.endswith(shown)
    text = (made.path.parent / "results.csv").read_text()
    for method in ROWS:
        for seed, accuracy in zip(SEEDS, ACCURACY[method], strict=True):
            assert f",{method},{method},{seed},last,700,{accuracy}," in text


def test_seed_without_arrays_is_left_out_and_broken_arrays_are_named(plane):
    (plane / "dann-seed101-0.3" / "outputs.npz").unlink()
    assert "decision_boundary" in [path.stem for path in report.write_report([plane]).figures]
    (plane / "dann-seed102-0.3" / "outputs.npz").write_bytes(b"PK\x03\x04 half a file")
    text = report.write_report([plane]).path.read_text()
    assert "no figure decision_boundary: dann-seed102-0.3/outputs.npz cannot be read" in text


def test_other_vectors_have_neither_boundaries_nor_pictures(plane):
    for path in plane.glob("*/result.json"):
        path.write_text(json.dumps({**json.loads(path.read_text()), "example_shape": [8]}))
    names = [path.stem for path in report.write_report([plane]).figures]
    assert not {"decision_boundary", "sample_pictures"} & set(names) and "embedding" in names
