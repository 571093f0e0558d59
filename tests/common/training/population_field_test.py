"""Tests of what a population hands to a method: batches, and outputs for its refresh."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.data.table import mean_picture
from common.method import Aux, Method, Outputs, Phase
from tests import tiny

NEEDS = {
    "source": ("image", "label", "index"),
    "target": ("image", "strong_image", "index", "domain"),
    "target_labelled": ("image", "label", "index", "domain"),
}
ROLES = {"source": "source", "target": "target", "target_labelled": "target"}
NUM_MEMBERS, NUM_STEPS = 2, 10


def make_probe(needs, **fields):
    """A method whose metrics are its batches."""

    def loss(variables, batch, *, key, progress, hparams):
        for domain, wanted in needs.items():
            assert set(batch[domain]) == set(wanted)
        metrics = {
            f"{domain}/{field}": array
            for domain, own in batch.items()
            for field, array in own.items()
        }
        value = jnp.sum(variables["params"]["probe"]["kernel"] ** 2)
        return value, Aux({}, variables["method_state"], metrics)

    def predict(variables, images, domain):
        features = images.reshape(len(images), -1)
        return Outputs(features, features[:, :3] * variables["params"]["probe"]["kernel"][:1, None])

    def init(key, batch):
        return {
            "params": {"probe": {"kernel": jnp.ones(2)}},
            "batch_stats": {},
            "method_state": {},
        }

    return Method(init, (Phase(loss),), predict, needs, **fields)


def record(needs, num_steps=NUM_STEPS, tables=None, **where):
    """Returns a run, and what the batches of its first steps held, `[member, step, batch, ...]`."""
    config, method = tiny.make_config(), make_probe(needs)
    run = tiny.make_run(config, num_members=NUM_MEMBERS, method=method, tables=tables, **where)
    _, metrics = run.program.chunk(tiny.start(run), run.tables, 0, num_steps)
    return run, jax.tree.map(np.asarray, metrics)


@pytest.fixture(autouse=True, scope="module")
def quick():
    with tiny.quick_compilation():
        yield


@pytest.fixture(scope="module")
def recorded():
    return record(NEEDS)


def pictures_of(run, metrics, domain):
    """The pictures that `index` names, scaled to 0 to 1."""
    table = run.tables[ROLES[domain]]
    rows = np.stack(
        [own[index] for own, index in zip(table["train"], metrics[f"{domain}/index"], strict=True)]
    )
    return table["image"][rows] / 16, table["label"][rows]


@pytest.mark.parametrize("domain", NEEDS)
def test_pictures_and_labels_are_those_of_the_index(recorded, domain):
    run, metrics = recorded
    images, labels = pictures_of(run, metrics, domain)
    np.testing.assert_allclose(metrics[f"{domain}/image"], images, 1e-6)
    if "label" in NEEDS[domain]:
        np.testing.assert_array_equal(metrics[f"{domain}/label"], labels)


def test_the_domain_is_its_place_in_the_needs(recorded):
    _, metrics = recorded
    for domain, number in (("target", 1), ("target_labelled", 2)):
        np.testing.assert_array_equal(
            metrics[f"{domain}/domain"], np.full((NUM_MEMBERS, NUM_STEPS, 8), number)
        )


def test_strong_pictures_are_stronger_versions_of_the_same_pictures(recorded):
    _, metrics = recorded
    weak, strong = (
        metrics[f"target/{field}"].reshape(-1, 4, 4) for field in ("image", "strong_image")
    )
    padded = np.pad(weak, ((0, 0), (1, 1), (1, 1)))
    shifted = [padded[:, top : top + 4, left : left + 4] for top in range(3) for left in range(3)]
    hits = [np.isclose(strong, candidate).all((1, 2)) for candidate in shifted]
    assert np.any(hits, axis=0).all()
    assert (strong != weak).any((1, 2)).mean() > 0.5


@pytest.mark.parametrize("domain", NEEDS)
def test_each_epoch_sees_every_example_once_in_an_order_of_its_own(recorded, domain):
    _, metrics = recorded
    epochs = metrics[f"{domain}/index"].reshape(-1, 20)
    np.testing.assert_array_equal(np.sort(epochs, axis=1), np.tile(np.arange(20), (8, 1)))
    assert len({epoch.tobytes() for epoch in epochs}) == 8


def test_domains_have_orders_of_their_own(recorded):
    _, metrics = recorded
    orders = [metrics[f"{domain}/index"] for domain in NEEDS]
    assert all((orders[a] != orders[b]).any() for a, b in ((0, 1), (0, 2), (1, 2)))


def test_a_chunk_that_begins_later_sees_what_the_whole_run_sees(recorded):
    run, metrics = recorded
    state, _ = run.program.chunk(tiny.start(run), run.tables, 0, 5)
    _, later = run.program.chunk(state, run.tables, 5, 5)
    for name in (f"{domain}/{field}" for domain, fields in NEEDS.items() for field in fields):
        np.testing.assert_array_equal(later[name], metrics[name][:, 5:])


def test_inputs_are_centred_by_the_source_alone():
    needs = {"source": ("image", "index"), "target": ("image", "index")}
    tables = tiny.make_tables(NUM_MEMBERS)
    source = tables["source"]
    means = [mean_picture(source["image"], rows, 16.0) for rows in source["train"]]
    source["mean"] = np.stack(means)
    run, metrics = record(needs, 2, tables)
    for member in range(NUM_MEMBERS):
        mean = source["image"][source["train"][member]].mean(0) / 16
        for domain in needs:
            images, _ = pictures_of(run, metrics, domain)
            own = metrics[f"{domain}/image"][member]
            np.testing.assert_allclose(own, images[member] - mean, 1e-5, 1e-6)
    outputs = run.program.outputs(tiny.start(run), run.tables, "target", "val")
    target = run.tables["target"]
    expected = target["image"][target["val"][member]] / 16 - mean
    np.testing.assert_allclose(outputs.features[member], expected.reshape(12, -1), 1e-5, 1e-6)


def test_refresh_sees_whole_training_splits_in_their_order():
    def refresh(variables, outputs, hparams):
        return {"seen": outputs, "rate": hparams["optimizer.learning_rate"]}

    method = make_probe(NEEDS, refresh=refresh, refresh_every=3)
    run = tiny.make_run(tiny.make_config(), num_members=NUM_MEMBERS, method=method)
    assert run.program.refresh_every == 3
    state = tiny.start(run)
    params = jax.tree.map(lambda leaf: 2 * leaf, state.params)
    state = run.program.refresh(state._replace(params=params), run.tables)
    np.testing.assert_allclose(state.method_state["rate"], [0.03, 0.03], 1e-6)
    seen = state.method_state["seen"]
    assert set(seen) == set(NEEDS)
    for domain, fields in NEEDS.items():
        table = run.tables[ROLES[domain]]
        images = table["image"][table["train"]] / 16
        features = images.reshape(NUM_MEMBERS, 20, 16)
        np.testing.assert_allclose(seen[domain]["image"], images, 1e-6)
        np.testing.assert_allclose(seen[domain]["features"], features, 1e-6)
        np.testing.assert_allclose(seen[domain]["logits"], 2 * features[..., :3], 1e-6)
        order = np.tile(np.arange(20), (NUM_MEMBERS, 1))
        np.testing.assert_array_equal(seen[domain]["index"], order)
        assert ("label" in seen[domain]) == ("label" in fields)
        if "label" in fields:
            np.testing.assert_array_equal(seen[domain]["label"], table["label"][table["train"]])


def test_the_state_has_room_for_a_number_an_example_before_the_first_refresh():
    needs = {"source": ("image", "label", "index"), "target": ("image",)}

    def refresh(variables, outputs, hparams):
        state, source = variables["method_state"], outputs["source"]
        return {"count": state["count"] + 1, "weights": source["features"].sum(-1) + 1}

    probe = make_probe(needs, refresh=refresh, refresh_every=3)

    def init(key, batch):
        return probe.init(key, batch) | {
            "method_state": {"count": jnp.float32(5), "weights": jnp.ones(1)}
        }

    run = tiny.make_run(
        tiny.make_config(), num_members=NUM_MEMBERS, method=probe._replace(init=init)
    )
    before = tiny.start(run)
    np.testing.assert_array_equal(before.method_state["count"], [5, 5])
    np.testing.assert_array_equal(before.method_state["weights"], np.zeros((NUM_MEMBERS, 20)))
    after = run.program.refresh(before, run.tables)
    np.testing.assert_array_equal(after.method_state["count"], [6, 6])
    assert np.asarray(after.method_state["weights"]).min() >= 1
    # A checkpoint of one fits the other, and so does what selection rules keep.
    shapes = [jax.tree.map(jnp.shape, state.method_state) for state in (before, after)]
    assert shapes[0] == shapes[1]
    kept = run.program.keep(after, {"source_val": np.ones(NUM_MEMBERS, bool)})
    np.testing.assert_array_equal(
        kept.best["source_val"]["variables"]["method_state"]["weights"],
        kept.method_state["weights"],
    )


@pytest.mark.parametrize(
    ("refresh", "every", "expected"),
    [(None, 0, 0), (None, 3, 0), (lambda *_: {}, 3, 3), (lambda *_: {}, 0, 10)],
)
def test_a_refresh_without_a_cadence_is_before_the_first_step_alone(refresh, every, expected):
    method = make_probe({"source": ("image",)}, refresh=refresh, refresh_every=every)
    run = tiny.make_run(tiny.make_config(), method=method)
    assert run.program.refresh_every == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"data.batch_size": 21}, "has 20 examples"),
        ({"data.strong_augment": {}}, "config.data.strong_augment is empty"),
    ],
)
def test_data_that_does_not_fit_is_refused(changes, message):
    config = tiny.make_config()
    for path, value in changes.items():
        config["data"][path.removeprefix("data.")] = value
    with pytest.raises(ValueError, match=message):
        tiny.make_run(config, method=make_probe(NEEDS))
