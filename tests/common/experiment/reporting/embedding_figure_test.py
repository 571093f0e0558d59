import importlib.util
from typing import Any

import numpy as np
import pytest

from common.experiment.reporting import drawing, embedding_figure
from common.experiment.reporting.drawing import A_DISTANCE
from common.experiment.reporting.run_record import Run
from tests.common.experiment.reporting.figure_test import CLASSES, assert_legible, make_outputs


def test_components_are_those_of_scikit_learn():
    from sklearn.decomposition import PCA

    features = np.random.default_rng(0).normal(size=(30, 5)) * [5, 3, 1, 1, 1] + 7
    points = embedding_figure.project_by_pca(features)
    np.testing.assert_allclose(np.abs(points), np.abs(PCA(2).fit_transform(features)), atol=1e-9)
    np.testing.assert_allclose(
        embedding_figure.project_by_pca(features[:, ::-1]), points, atol=1e-9
    )


def test_components_of_a_single_feature_lie_on_a_line():
    points = embedding_figure.project_by_pca(np.arange(5.0)[:, None])
    np.testing.assert_allclose(
        points, np.stack([[2, 1, 0, -1, -2], [0] * 5], 1) * np.sign(points[0, 0])
    )


def test_distance_is_that_of_the_runs_records_or_none():
    about: dict[str, Any] = dict.fromkeys(Run._fields)
    records = {
        "dann": [{A_DISTANCE: 1.9}, {A_DISTANCE: 0.25}],
        "mmd": [{A_DISTANCE: 0.5}, {"step": 7}],
        "coral": [],
    }
    runs = {name: Run(**{**about, "records": own}) for name, own in records.items()}
    distances = drawing.last_values(runs, A_DISTANCE)
    assert distances == {"dann": 0.25}
    outputs = {"dann": make_outputs(0), "mmd": make_outputs(1)}
    figure = embedding_figure.embedding(
        outputs, CLASSES, title="PCA", projection="PCA", distances=distances
    )
    assert_legible(figure)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles[0] == "dann: by domain, A-distance 0.25" and titles[2] == "mmd: by domain"


def test_umap_is_offered_where_it_is_installed(monkeypatch):
    def find(name):
        return object() if name == "umap" else None

    for found, names in ((find, ["t-SNE", "PCA", "UMAP"]), (lambda name: None, ["t-SNE", "PCA"])):
        monkeypatch.setattr(embedding_figure, "find_spec", found)
        assert embedding_figure.available_projections() == names


@pytest.mark.skipif(importlib.util.find_spec("umap") is None, reason="the extra umap is missing")
def test_umap_projects():
    points = embedding_figure.project_by_umap(np.random.default_rng(0).normal(size=(40, 5)))
    assert points.shape == (40, 2) and np.isfinite(points).all()
