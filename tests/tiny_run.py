"""What tests of run folders share: a run small enough to train in a second."""

import json
from typing import Any

import jax
import pytest

from common.experiment import family, folder, run
from common.method import Method
from common.training.hparam import flatten, structure
from common.training.population import Program, make_program
from configs import base, method_row
from dann.method import make_method as make_adaptation
from finetune.method import make_method as make_plain
from tests.config import tiny_digits

# What a run folder holds does not depend on the network. Tests that start processes take the
# miniature as it is, a convolutional network with augmentation.
SMALL = {"model.name": "mlp", "model.options": {"hidden": (16,)}, "data.augment": {}}

_methods: dict[str, Method] = {}
_programs: dict[Any, tuple[Method, Program]] = {}


def make_method(config, num_classes):
    """Builds the method of a config, once: jax knows a program again by its functions."""
    kept, terms = structure(config), ("alignment.", "adaptation.")
    # Its strengths are traced, but a method may refuse them.
    kept |= {path: value for path, value in flatten(config) if path.startswith(terms)}
    key = json.dumps([kept, num_classes], sort_keys=True)
    if key not in _methods:
        makers = {"dann": make_adaptation, "finetune": make_plain}
        _methods[key] = makers[config["package"]](config, num_classes)
    return _methods[key]


def share_programs(patch: pytest.MonkeyPatch) -> None:
    """Makes runs of one method on data of the same shapes share what was compiled.

    A run builds its program anew, as it must in a new process. Tests of run folders train the same
    program many times over; that a new process goes on exactly is tested with processes.
    """

    def shared(method, config, tables, num_members, rules, *, stream=None, placement=None):
        where = {"stream": stream, "placement": placement}
        # Streamed pictures and the sources' shares are no arguments of the compiled functions.
        if stream or "origin" in tables["source"]:
            return make_program(method, config, tables, num_members, rules, **where)
        shapes = jax.tree.map(lambda leaf: (leaf.shape, str(leaf.dtype)), tables)
        runtime = {**config["runtime"], "workdir": ""}
        key = json.dumps(
            [structure(config), runtime, shapes, num_members, rules], sort_keys=True, default=str
        )
        key = (id(method), key, placement)
        if key not in _programs:
            made = make_program(method, config, tables, num_members, rules, **where)
            # With the method, whose id would otherwise be given away.
            _programs[key] = method, made
        return _programs[key][1]

    patch.setattr(run, "make_program", shared)


def build(workdir, method, changes):
    config = tiny_digits.get_config(f"method={method}")
    config.runtime.workdir = str(workdir)
    config.runtime.tensorboard = False
    config.runtime.progress = False
    config.update_from_flattened_dict({**SMALL, **changes})
    return config


def tiny(workdir, method="dann", /, **changes: Any):
    return folder.resolve(build(workdir, method, changes))


def tiny_family(workdir, method, /, **changes: Any):
    """Returns the run that is trained first, if there is one, and the run."""
    return family.resolve_family(build(workdir, method, changes), {}, base.get_config(), method_row)
