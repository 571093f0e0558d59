import importlib.util

import numpy as np
import pytest

from common.experiment.reporting import embedding_figure
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


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.0, 0.35), (9.0, 2.0, 2.0)])
def test_distance_of_equal_and_of_separate_domains(shift, low, high):
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(300, 8)), rng.normal(size=(240, 8)) + shift
    assert low <= embedding_figure.proxy_a_distance(source, target) <= high


def test_distance_is_tested_on_points_that_were_not_learned_from():
    """With more features than points every domain can be told apart by heart."""
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(40, 200)), rng.normal(size=(40, 200))
    assert embedding_figure.proxy_a_distance(source, target) < 0.9


def test_figure_by_components_states_the_distance():
    outputs = {"dann": make_outputs(0)}
    figure = embedding_figure.embedding(outputs, CLASSES, title="PCA", projection="PCA")
    assert_legible(figure)
    assert figure.axes[0].get_title(loc="left").startswith("dann: by domain, A-distance ")


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
