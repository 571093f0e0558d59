"""Experiments small enough for tests: 40 pictures of 4x4 pixels a domain, 16 hidden units."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from common.experiment.folder import resolve
from common.method import Method
from common.training.hparam import make_hparams
from common.training.member import OF_MEMBERS
from common.training.optimizer import merge, paths_of
from common.training.population import Program, make_program
from common.training.state import State
from configs import base, method_row
from dann.method import make_method as make_adaptation
from finetune.method import make_method as make_plain

NUM_CLASSES = 3
MAKERS = {"dann": make_adaptation, "finetune": make_plain}
# What a row may ask for when it is built: a word of its refusal, and what then helps.
NEEDS = {
    "normalization": {"model.normalization": "separate"},
    "ema_decay": {"optimizer.ema_decay": 0.9},
    "init_from": {"init_from.run": "a finished run"},
}


class Run(NamedTuple):
    config: dict[str, Any]
    method: Method
    tables: dict[str, Any]
    program: Program
    num_members: int


@contextmanager
def quick_compilation() -> Iterator[None]:
    """Compiles with few optimizations; not for comparisons of two programs bit by bit."""
    before = jax.config.read("jax_disable_most_optimizations")
    jax.config.update("jax_disable_most_optimizations", True)
    try:
        yield
    finally:
        jax.config.update("jax_disable_most_optimizations", before)


def make_config(
    method: str = "source_only", changes: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Returns a resolved config; `changes` are values by dotted path."""
    config = base.get_config()
    config.num_steps = 10
    config.model.name = "mlp"
    config.model.options = {"hidden": (16,)}
    config.optimizer.name = "sgd"
    config.optimizer.learning_rate = 0.03
    config.data.batch_size = 8
    # For those methods that ask for strong_image; the others never draw it.
    config.data.strong_augment = {"shift": {"pixels": 1, "probability": 1.0}}
    config.evaluation.every = 5
    # Scores take long to compile; tests/common/training/evaluation_test.py asks for them.
    config.evaluation.score_examples = 0
    config.evaluation.keep = ("source_val",)
    config.runtime.log_every = 5
    config.runtime.evaluation_batch_size = 5
    method_row.set_method(config, method)
    if "mean_teacher" in config.alignment:
        config.optimizer.ema_decay = 0.9
    for options in (*config.alignment.values(), config.adaptation):
        if "hidden" in options:
            options.hidden = (8,)
    config.update_from_flattened_dict(dict(changes or {}))
    return resolve(config)


def make_row_config(row: str, changes: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Returns a config under which any row can be built, whatever its refusal says it needs."""
    changes, left = dict(changes or {}), dict(NEEDS)
    while True:
        config = make_config(row, changes)
        try:
            MAKERS[config["package"]](config, NUM_CLASSES)
        except ValueError as error:
            word = next((word for word in left if word in str(error)), None)
            if word is None:
                raise
            changes |= left.pop(word)
        else:
            return config


def make_tables(num_members: int = 1) -> dict[str, dict[str, np.ndarray]]:
    """Returns pictures, labels and each member's own split of both domains."""
    tables = {}
    for seed, role in enumerate(("source", "target")):
        draw = np.random.default_rng(seed)
        rows = np.stack([draw.permutation(40).astype(np.int32) for _ in range(num_members)])
        tables[role] = {
            "image": draw.integers(0, 17, (40, 4, 4, 1)).astype(np.float32),
            "label": draw.integers(0, NUM_CLASSES, 40).astype(np.int32),
            "maximum": np.float32(16),
            "train": rows[:, :20],
            "val": rows[:, 20:32],
            "test": rows[:, 32:],
        }
    tables["source"]["mean"] = np.zeros((num_members, 1, 1, 1, 1), np.float32)
    return tables


def take_members(tables: Mapping[str, Any], members: Sequence[int]) -> dict[str, Any]:
    """Keeps the splits of some members."""
    return {
        role: {
            name: array[list(members)] if name in OF_MEMBERS else array
            for name, array in own.items()
        }
        for role, own in tables.items()
    }


def make_run(
    config: Mapping[str, Any],
    *,
    num_members: int = 1,
    method: Method | None = None,
    tables: Mapping[str, Any] | None = None,
    **where: Any,
) -> Run:
    """Builds the program of a population; `method` replaces the config's own.

    `where` says where pictures are and the program runs: see `make_program`.
    """
    method = method or MAKERS[config["package"]](config, NUM_CLASSES)
    tables = tables or make_tables(num_members)
    program = make_program(method, config, tables, num_members, ("source_val",), **where)
    return Run(dict(config), method, dict(tables), program, num_members)


def start(run: Run, changes: Mapping[str, Any] | None = None) -> State:
    """Returns the state before step 0; `changes` are hparams by member. Seeds count from 0."""
    hparams = {
        name: np.stack([value] * run.num_members)
        for name, value in make_hparams(run.config).items()
    }
    hparams["seed"] = np.arange(run.num_members, dtype=np.uint32)
    for name, values in (changes or {}).items():
        hparams[name] = np.asarray(values, hparams[name].dtype)
    return run.program.create(hparams, run.tables)


def train(run: Run, num_steps: int, changes: Mapping[str, Any] | None = None) -> State:
    """Trains from the start in one chunk."""
    state = start(run, changes)
    if run.program.refresh_every:
        state = run.program.refresh(state, run.tables)
    return run.program.chunk(state, run.tables, 0, num_steps)[0]


def params_of(state: State) -> dict[str, np.ndarray]:
    """Returns trained and frozen parameters by path."""
    return {
        path: np.asarray(leaf) for path, leaf in paths_of(merge(state.params, state.frozen)).items()
    }


def to_float64(tree: Any) -> Any:
    """Turns single into double precision; everything else stays as it is."""
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf, jnp.float64) if leaf.dtype == jnp.float32 else leaf, tree
    )


def comparable(state: State) -> Any:
    """Returns all of a state as arrays of the host."""
    return jax.tree.map(np.asarray, state._replace(key=jax.random.key_data(state.key)))


def to_state(arrays: Any) -> State:
    """Returns a state of its own from what `comparable` kept: a step consumes what it is given."""
    state = jax.tree.map(jnp.asarray, arrays)
    return state._replace(key=jax.random.wrap_key_data(state.key))
