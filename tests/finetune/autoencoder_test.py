"""Tests of pretraining by reconstruction, with a decoder that learns from no feature beside it.

That no label is read, and what every row must keep to, stands in dann/contract_test.py.
"""

import json
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from common.data.fold import role_of_folds
from common.experiment import check, folder
from common.experiment.checkpoint import load_run
from common.experiment.outcome import StopRequest, UsageError
from common.experiment.parent import take_over_parents
from common.experiment.report import format_table, write_report
from common.experiment.single_run import train_alone
from common.training.optimizer import paths_of
from common.training.state import State
from configs import base, catalogue, digits, method_row
from finetune.autoencoder import DOMAINS, corrupt, make_method
from tests import tiny
from tests.common.structural_similarity_test import by_windows
from tests.tiny_run import make_method as make_any
from tests.tiny_run import tiny_family

CHANGES = {
    "model.options": {"hidden": (8,), "activation": "tanh"},
    "model.normalization": "none",
    "optimizer.name": "adam",
    "optimizer.learning_rate": 0.02,
    "transfer.reconstruction.loss": "mixed",
    "transfer.reconstruction.window": 3,
    "transfer.reconstruction.channels": 4,
    "num_steps": 60,
}
HPARAMS = {f"transfer.reconstruction.{name}": 0.0 for name in ("noise", "masking")}


@pytest.fixture(autouse=True, scope="module")
def quick():
    with tiny.quick_compilation():
        yield


def make_config(changes=None):
    return tiny.make_config("autoencoder", CHANGES | (changes or {}))


def make_batch():
    draw = np.random.default_rng(0)
    shape = (3, 4, 4, 1)
    return {domain: {"image": jnp.asarray(draw.random(shape), jnp.float32)} for domain in DOMAINS}


@pytest.fixture(scope="module")
def trained():
    """Four members: the squared error or SSIM alone, with an encoder that learns or that does not.

    A decoder without a way back to the features would be the latter.
    """
    group = {"pattern": "feature_extractor/.*", "learning_rate_factor": 1.0}
    config = make_config({"optimizer.groups": {"encoder": group}})
    tables = tiny.take_members(tiny.make_tables(), [0] * 4)
    run = tiny.make_run(config, num_members=4, tables=tables)
    values = {
        "seed": [1] * 4,
        "transfer.reconstruction.ssim_share": [0.0, 1.0, 0.0, 1.0],
        "optimizer.groups.encoder.learning_rate_factor": [1.0, 1.0, 0.0, 0.0],
    }
    state = tiny.start(run, values)
    before = tiny.comparable(state)
    state, metrics = run.program.chunk(state, run.tables, 0, config["num_steps"])
    evaluation = run.program.evaluate(state, run.tables)["measured"]
    return run, before, tiny.comparable(state), *jax.tree.map(np.asarray, (metrics, evaluation))


def test_each_loss_falls_and_less_where_nothing_reaches_the_encoder(trained):
    _, before, after, metrics, _ = trained
    loss, error = metrics["reconstruction_loss"], metrics["reconstruction_mse"]
    np.testing.assert_allclose(loss[::2], error[::2], 1e-5)
    np.testing.assert_allclose(loss[1::2], 1 - metrics["reconstruction_ssim"][1::2], 1e-5)
    first, last = loss[:, 0], loss[:, -10:].mean(1)
    assert (last[:2] < 0.7 * first[:2]).all()
    assert (last[:2] < 0.9 * last[2:]).all()
    for path, leaf in paths_of(before.params["feature_extractor"]).items():
        now = paths_of(after.params["feature_extractor"])[path]
        assert np.any(now[0] != leaf[0]) and np.any(now[1] != leaf[1]), path
        np.testing.assert_array_equal(now[2:], leaf[2:])


def test_the_head_keeps_every_bit_and_has_no_state_of_the_optimizer(trained):
    _, before, after, _, _ = trained
    assert set(after.params) == {"feature_extractor", "decoder"}
    assert set(after.frozen) == {"task_head"}
    jax.tree.map(np.testing.assert_array_equal, before.frozen, after.frozen)
    moments = [leaf for leaf in jax.tree.leaves(after.optimizer) if leaf.ndim > 1]
    trained = sum(leaf.size for leaf in jax.tree.leaves(after.params))
    assert sum(leaf.size for leaf in moments) == 2 * trained


def test_validation_pictures_are_measured_as_they_are_whatever_the_network_was_fed(trained):
    run, _, after, _, measured = trained
    assert run.method.needs == {domain: ("image",) for domain in DOMAINS}
    for role in DOMAINS:
        table = run.tables[role]
        own = {name: measured[f"{role}_val/{name}"] for name in run.method.measures}
        assert set(own) == {"reconstruction_mse", "reconstruction_ssim"}
        params = paths_of(jax.tree.map(lambda leaf: leaf[0], after.params))
        images = table["image"][table["val"][0]] / 16
        pictures = numpy_picture(params, numpy_code(params, images))
        assert own["reconstruction_mse"][0] == pytest.approx(
            ((pictures - images) ** 2).mean(), 1e-4
        )
        pairs = zip(pictures[..., 0], images[..., 0], strict=True)
        alike = np.mean([by_windows(*pair, 3, 1.5) for pair in pairs])
        assert own["reconstruction_ssim"][0] == pytest.approx(alike, 1e-4)
        assert own["reconstruction_ssim"][1] > own["reconstruction_ssim"][3]


def numpy_code(params, images):
    kernel, bias = (params[f"feature_extractor/dense_0/{name}"] for name in ("kernel", "bias"))
    return np.tanh(images.reshape(len(images), -1) @ kernel + bias)


def numpy_picture(params, code):
    """A dense layer to maps, and a convolution of 3x3 pixels after a rectifier."""
    maps = code @ params["decoder/dense/kernel"] + params["decoder/dense/bias"]
    maps = np.pad(np.maximum(maps.reshape(-1, 4, 4, 4), 0), ((0, 0), (1, 1), (1, 1), (0, 0)))
    kernel, picture = params["decoder/picture/kernel"], params["decoder/picture/bias"]
    places = [
        maps[:, row : row + 4, column : column + 4] @ kernel[row, column]
        for row in range(3)
        for column in range(3)
    ]
    return sum(places) + picture


def test_value_and_slope_are_those_of_a_derivation_in_numpy():
    method, batch = make_method(make_config(), tiny.NUM_CLASSES), make_batch()
    hparams = HPARAMS | {"transfer.reconstruction.ssim_share": 0.3}
    with jax.enable_x64(True):
        batch = tiny.to_float64(batch)
        drawn = tiny.to_float64(jax.jit(method.init)(jax.random.key(0), batch))

        @jax.jit
        def slope(params):
            def value(params):
                variables = drawn | {"params": params}
                more = {"key": jax.random.key(0), "progress": 0.0, "hparams": hparams}
                return method.phases[0].loss(variables, batch, **more)

            return jax.value_and_grad(value, has_aux=True)(params)

        (found, aux), gradient = jax.device_get(slope(drawn["params"]))
    params = paths_of(jax.device_get(drawn["params"]))

    def by_hand(params):
        values = []
        for own in batch.values():
            images = np.asarray(own["image"])
            pictures = numpy_picture(params, numpy_code(params, images))
            error = ((pictures - images) ** 2).mean()
            pairs = zip(pictures[..., 0], images[..., 0], strict=True)
            unlike = 1 - np.mean([by_windows(*pair, 3, 1.5) for pair in pairs])
            values.append(0.3 * unlike + 0.7 * error)
        return np.mean(values)

    assert found == pytest.approx(by_hand(params), rel=1e-10)
    assert aux.metrics["reconstruction_loss"] == found
    direction = {
        path: np.cos(np.arange(leaf.size)).reshape(leaf.shape) for path, leaf in params.items()
    }
    ends = [
        by_hand({path: leaf + step * direction[path] for path, leaf in params.items()})
        for step in (1e-6, -1e-6)
    ]
    found = sum((leaf * direction[path]).sum() for path, leaf in paths_of(gradient).items())
    assert found == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6)


def test_a_corrupted_picture_has_noise_and_missing_pixels_and_0_leaves_it_alone():
    images = jnp.asarray(np.random.default_rng(0).random((200, 4, 4, 3)), jnp.float32)
    spoil = jax.jit(corrupt)
    np.testing.assert_array_equal(spoil(jax.random.key(0), images, 0.0, 0.0), images)
    noise = np.asarray(spoil(jax.random.key(0), images, 0.5, 0.0) - images)
    assert noise.std() == pytest.approx(0.5, rel=0.03) and abs(noise.mean()) < 0.02
    gone = np.asarray(spoil(jax.random.key(1), images, 0.0, 0.25)) == 0
    assert gone.all(-1).mean() == pytest.approx(0.25, abs=0.03)
    assert (gone.all(-1) == gone.any(-1)).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"loss": "mae"}, "config.transfer.reconstruction.loss is 'mae'; "),
        ({"ssim_share": 1.5}, "reconstruction.ssim_share is 1.5; it must lie in [0, 1]"),
        ({"masking": 1.0}, "reconstruction.masking is 1.0; it must lie in [0, 1)"),
        ({"noise": -0.1}, "reconstruction.noise is -0.1; it must be a finite number of at least 0"),
        ({"channels": 0}, "reconstruction.channels is 0; it must be a whole number"),
        ({"window": 11}, "window is 11; SSIM compares windows with a pixel in their middle, and"),
        ({"window": 2}, "have 4 by 4 pixels: take an odd number up to 3"),
        ({"layer": "stage_0"}, "layer is 'stage_0'; the maps of this network are none, and ''"),
        ({"losses": "mse"}, "config.transfer.reconstruction.losses is unknown; did you mean"),
    ],
)
def test_options_that_cannot_be_are_refused(changes, message):
    config = make_config()
    config["transfer"]["reconstruction"].update(changes)
    with pytest.raises(ValueError, match=re.escape(message)):
        method = make_method(config, tiny.NUM_CLASSES)
        jax.eval_shape(method.init, jax.random.key(0), make_batch())


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        (
            "data.center",
            "source",
            "SSIM compares pictures in [0, 1], but config.data.center is 'so",
        ),
        ("evaluation.patience", 2, "patience is 2, which stops by predictions, and 'autoencoder'"),
        ("domains", ("target_labelled",), "config.domains is 'target_labelled'; legal are source"),
        ("transfer.freeze", "none", "config.transfer.freeze is unknown"),
    ],
)
def test_settings_that_make_no_sense_beside_it_are_refused(key, value, message):
    config = make_config()
    section, _, name = key.partition(".")
    config[section] = config[section] | {name: value} if name else value
    with pytest.raises(ValueError, match=re.escape(message)):
        make_method(config, tiny.NUM_CLASSES)


def test_examples_that_are_no_pictures_are_refused():
    method = make_method(make_config(), tiny.NUM_CLASSES)
    batch = {domain: {"image": jnp.zeros((3, 2))} for domain in DOMAINS}
    with pytest.raises(ValueError, match=r"draws pictures, and the examples .* have shape \(2,\)"):
        jax.eval_shape(method.init, jax.random.key(0), batch)


def test_it_reads_the_domains_that_it_is_given_and_learns_from_no_fold():
    for domains in catalogue.PRETRAINING_DOMAINS:
        config = method_row.set_method(base.get_config(), "autoencoder")
        config.domains = domains
        method_row.check_method(config)
        made = make_any(folder.resolve(config), tiny.NUM_CLASSES)
        assert made.needs == {domain: ("image",) for domain in domains}
    config.data.folds, config.data.fold = 3, 0
    with pytest.raises(ValueError, match="'autoencoder' learns from none"):
        role_of_folds(config.to_dict())
    config.domains = ("target_labelled",)
    with pytest.raises(ValueError, match="the name of another row"):
        method_row.check_method(config)


def test_a_decoder_may_read_a_map_of_the_embedded_benchmarks_network():
    config = digits.get_config("method=autoencoder")
    config.transfer.reconstruction.update({"layer": "stage_0", "loss": "ssim", "window": 7})
    method = make_any(folder.resolve(config), 10)
    batch = {domain: {"image": jnp.zeros((4, 8, 8, 1))} for domain in DOMAINS}
    params = jax.eval_shape(method.init, jax.random.key(0), batch)["params"]
    assert params["decoder"]["entry"]["kernel"].shape == (1, 1, 24, 16)
    assert params["decoder"]["convolution_0"]["kernel"].shape == (3, 3, 16, 16)


@pytest.fixture(scope="module")
def family(tmp_path_factory):
    """A pretrained run, and the config of a row that starts from it."""
    own = {"num_steps": 2, "runtime.log_every": 2, "evaluation.every": 2, "runtime.devices": 1}
    own |= {"init_from.overrides": {"transfer": {"reconstruction": {"noise": 0.1}}}}
    parent, child = tiny_family(tmp_path_factory.mktemp("runs"), "autoencoder_fine_tune", **own)
    assert parent["transfer"]["reconstruction"]["noise"] == 0.1
    assert "reconstruction" not in child["transfer"]
    train_alone(parent, make_any, StopRequest())
    return parent, child


def test_fine_tuning_starts_from_exactly_the_extractor(family):
    parent, child = family
    method = make_any(child, 10)
    batch = {"target_labelled": {"image": jnp.zeros((4, 8, 8, 1)), "label": jnp.zeros(4, int)}}
    drawn = jax.device_get(jax.jit(method.init)(jax.random.key(1), batch))
    stacked = jax.tree.map(lambda leaf: leaf[None], drawn["params"])
    nothing: Any = dict.fromkeys(State._fields, ())
    unset = State(**nothing)
    state = unset._replace(params=stacked, frozen={}, batch_stats={}, ema={})
    after = paths_of(take_over_parents(state, [child]).params)
    before = paths_of(load_run(folder.run_folder(parent), "last")["params"])
    fresh = paths_of(drawn["params"])
    assert {path.partition("/")[0] for path in set(before) - set(after)} == {"decoder"}
    for path, leaf in after.items():
        source = before if path.startswith("feature_extractor/") else fresh
        np.testing.assert_array_equal(leaf[0], source[path])
        assert not path.endswith("kernel") or np.any(before[path] != fresh[path]), path


def test_what_it_is_judged_by_is_kept_and_tables_of_accuracies_leave_it_out(family):
    path = folder.run_folder(family[0])
    result = json.loads((path / "result.json").read_text())
    assert result["judged_by"] == ["reconstruction_mse"]
    assert result["target_labels_seen"] == 0 and result["sees_target_pictures"]
    record = json.loads((path / "metrics.jsonl").read_text().splitlines()[-1])
    assert record["train/reconstruction_loss"] > 0
    last, means = result["selections"]["last"], {}
    for role in DOMAINS:
        means[f"{role}_val_reconstruction_mse"] = record[f"{role}_val/reconstruction_mse"]
    assert {key: last[key] for key in means} == means
    written = write_report([path.parent])
    assert written.summary["rows"] == [] and not written.figures
    (task,) = written.summary["pretraining"]
    (row,) = task["rows"]
    assert (row["name"], row["n"], row["judged_by"]) == ("autoencoder", 1, means)
    title = "digits, pretraining without labels"
    assert title in written.path.read_text() and title in format_table(written.summary)


def test_what_cannot_be_is_a_sentence_of_the_command_too(tmp_path):
    changes = {"init_from.overrides": {"transfer": {"reconstruction": {"loss": "ssim"}}}}
    parent, _ = tiny_family(tmp_path, "autoencoder_fine_tune", **changes)
    with pytest.raises(UsageError, match="up to 7"):
        check.check_population([parent], make_any)
    assert not list(tmp_path.iterdir())
