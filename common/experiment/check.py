"""What a config may ask for, checked before anything is written."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from common import legal
from common.data.augment import make_augment
from common.data.domain import Domain
from common.data.pipeline import balanced_classes, batch_sizes_of, check_sizes, shares_of
from common.data.scaling import parse_scaling
from common.data.table import CENTERS, is_streamed
from common.data.task import load_task
from common.experiment.outcome import refusing
from common.experiment.parent import check_parent
from common.experiment.selection_check import check_selection
from common.experiment.text_check import check_text
from common.legal import check_count, check_name, check_number
from common.method import LABELLED, UNLABELLED, Method
from common.models.network import OF_PICTURES
from common.task_kind import OF_CLASSES
from common.training import parallel
from common.training.batch import ROLE_OF_DOMAIN, make_assemble, training_split
from common.training.hparam import flatten
from common.training.optimizer import make_optimizer
from common.training.task_loss import check_task

Config = Mapping[str, Any]
MakeMethod = Callable[[Config, int], Method]

# The smallest legal count, by key.
LEAST = {
    **{"num_steps": 1, "data.batch_size": 1, "evaluation.every": 1},
    **{"runtime.log_every": 1, "runtime.checkpoint_every": 1},
    **{"runtime.evaluation_batch_size": 1, "runtime.devices": 0, "runtime.stream_threads": 1},
    **{"runtime.resident_bytes": 0, "runtime.stream_bytes": 1, "runtime.memory_bytes": 0},
    # Of two tokens a text would be taken for a point of the plane.
    **{"data.vocabulary_size": 3, "data.max_tokens": 4},
    **{"data.size": 0, "data.channels": 0, "data.num_features": 0},
    **{"data.target_labels_per_class": 0, "data.folds": 0},
    **{"evaluation.patience": 0, "evaluation.score_examples": 0},
}
NOT_NEGATIVE = (
    *("learning_rate", "epsilon", "weight_decay", "gamma", "power", "clip_norm", "max_norm"),
)
BELOW_ONE = ("momentum", "warmup", "ema_decay")
# What a value must be, by the type of the default.
KINDS: dict[type, tuple[tuple[type, ...], str]] = {
    bool: ((bool,), "True or False"),
    int: ((int,), "a whole number"),
    float: ((int, float), "a number"),
    str: ((str,), "text"),
    tuple: ((list, tuple), "a list"),
    dict: ((dict,), "a dict"),
    type(None): ((int, type(None)), "a whole number or None"),
}
CHANNELS = (0, 1, 3)
# What chooses or counts by class, in config.data and in config.evaluation.
NEED_CLASSES = ("classes", "target_classes", "rename_classes", "target_labels_per_class", "folds")
SCORES_OF_CLASSES = ("reverse_validation", "retrained_head")
GROUP = ("pattern", "learning_rate_factor")


def check_population(configs: Sequence[Config], make_method: MakeMethod) -> None:
    """Refuses what can be refused before anything is trained.

    Args:
        configs: The resolved configs of the members.
        make_method: `(config, num_classes) -> Method`.

    Raises:
        UsageError: A config asks for something that cannot be.
    """
    with refusing():
        for config in configs:
            check_values(config)
        config, task = configs[0], load_task(configs[0])
        data, classes = config["data"], len(task["source"].examples.classes)
        shape, model = task["source"].examples.images.shape[1:], config["model"]["name"]
        check_text(config)
        if model in OF_PICTURES and len(shape) != 3:
            raise ValueError(
                f"config.model.name is {model!r}, which takes pictures; the examples of "
                f"config.source {config['source']!r} have shape {shape}: use 'mlp'"
            )
        parse_scaling(data["scaling"], shape)
        methods = [make_method(own, classes) for own in configs]
        splits = {domain: task[ROLE_OF_DOMAIN[domain]].splits for domain in methods[0].needs}
        sizes = {domain: len(own[training_split(domain, own)]) for domain, own in splits.items()}
        batch_sizes = batch_sizes_of(data, sizes)
        shares = shares_of(methods[0].needs, task["source"].origin)
        check_sizes(sizes, batch_sizes, balanced_classes(data, sizes), shares)
        for name in ("augment", "strong_augment"):
            _check_augment(data[name], f"config.data.{name}", task)
        make_assemble(data, methods[0].needs)
        is_streamed([task], config["runtime"])
        parallel.make_placement(
            len(configs),
            config["runtime"]["devices"],
            math.gcd(*batch_sizes.values()),
            config["runtime"]["parallel"],
        )
        params = _shapes_of(methods[0], config, task)
        make_optimizer(config["optimizer"], params, methods[0].trains, methods[0].groups)
        for own in configs:
            check_parent(own, params)


def check_keys(config: Config, defaults: Config, key: str = "config") -> None:
    """Refuses a config with other keys than the defaults, or with other kinds of values.

    Args:
        config: Any config, as plain data.
        defaults: Every legal key, with a value of the right kind. A mapping that is empty here is
            open: others decide which options stand there.
        key: Where they stand.

    Raises:
        ValueError: A key that is unknown or missing, or a value of another kind.
    """
    legal.check_keys(key, config, defaults, defaults)
    for name, default in defaults.items():
        value: Any = config[name]
        kinds, said = KINDS[type(default)]
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            raise ValueError(f"{key}.{name} is {value!r}; it must be {said}")
        if isinstance(default, dict) and isinstance(value, dict) and default:
            check_keys(value, default, f"{key}.{name}")


def check_values(config: Config) -> None:
    """Refuses names and numbers that no run can have.

    Args:
        config: The resolved config.

    Raises:
        ValueError: With the key, the value and what would be right.
    """
    flat = dict(flatten(config))
    experiment = flat["experiment"]
    if experiment in ("", ".", "..") or {"/", "\\"} & set(experiment):
        raise ValueError(f"config.experiment is {experiment!r}; it must be the name of one folder")
    for key, least in LEAST.items():
        check_count(f"config.{key}", flat[key], least)
    drawn = [key for key in flat if re.fullmatch(r"data\.\w+\.seed", key)]
    for key in ("seed", "data.split_seed", *drawn):
        if not 0 <= flat[key] < 2**32:
            raise ValueError(f"config.{key} is {flat[key]}; it must lie between 0 and 2**32 - 1")
    for name in NOT_NEGATIVE:
        check_number(f"config.optimizer.{name}", flat[f"optimizer.{name}"])
    for name in BELOW_ONE:
        check_number(f"config.optimizer.{name}", flat[f"optimizer.{name}"], below=1.0)
    check_number("config.objective.label_smoothing", flat["objective.label_smoothing"], below=1.0)
    check_number("config.objective.mixup", flat["objective.mixup"])
    check_selection(config)
    if flat["evaluation.patience"] and flat["evaluation.reverse_validation"]:
        raise ValueError(
            f"config.evaluation.patience is {flat['evaluation.patience']}, but reverse validation "
            "trains back for all of config.num_steps: set it to 0, or "
            "config.evaluation.reverse_validation to False"
        )
    betas = flat["optimizer.betas"]
    if len(betas) != 2:
        raise ValueError(f"config.optimizer.betas is {betas}; it must hold two numbers")
    for index, beta in enumerate(betas):
        check_number(f"config.optimizer.betas[{index}]", beta, below=1.0)
    for name, group in config["optimizer"]["groups"].items():
        if not (isinstance(name, str) and re.fullmatch(r"\w+", name)):
            raise ValueError(
                f"config.optimizer.groups has the name {name!r}; it must be letters, digits and _"
            )
        key = f"config.optimizer.groups.{name}"
        legal.check_keys(key, group, GROUP, GROUP)
        check_number(f"{key}.learning_rate_factor", group["learning_rate_factor"])
    if not config["domains"]:
        raise ValueError(
            f"config.domains is empty; name some of {', '.join(LABELLED + UNLABELLED)}"
        )
    for domain in config["domains"]:
        check_name("config.domains", domain, LABELLED + UNLABELLED)
        if list(config["domains"]).count(domain) > 1:
            raise ValueError(f"config.domains names {domain!r} twice; name each domain once")
    check_name("config.data.center", flat["data.center"], CENTERS)
    check_task(config["task"])
    _check_kind(config)
    if flat.get("model.options.input_statistics", "none") != "none":
        for key in ("center", "scaling"):
            if flat[f"data.{key}"] != "none":
                raise ValueError(
                    "config.model.options.input_statistics is of pictures in [0, 1], but "
                    f"config.data.{key} is {flat[f'data.{key}']!r}; set one of the two to 'none'"
                )
    parents = [flat.get(f"init_from.{kind}") for kind in ("run", "method", "weights")]
    if flat["model.normalization"] == "frozen" and not any(parents):
        raise ValueError(
            "config.model.normalization is 'frozen', which keeps the statistics of the run that a "
            "run starts from; name one by config.init_from.run, a file by "
            "config.init_from.weights, or a row by config.init_from.method, and another "
            "normalization in config.init_from.overrides"
        )
    _check_files(config["data"])
    pattern = flat["init_from.include"]
    try:
        re.compile(pattern)
    except re.error as error:
        raise ValueError(
            f"config.init_from.include: {pattern!r} is no regular expression: {error}"
        ) from None


def _check_kind(config: Config) -> None:
    """Refuses what works on classes where the task has none."""
    kind, data, evaluation = config["task"]["kind"], config["data"], config["evaluation"]
    asked = {
        "objective.label_smoothing": config["objective"]["label_smoothing"],
        **{f"data.{name}": data[name] for name in NEED_CLASSES},
        **{f"evaluation.{name}": evaluation[name] for name in SCORES_OF_CLASSES},
    }
    for key, value in asked.items() if kind not in OF_CLASSES else ():
        if value:
            raise ValueError(
                f"config.task.kind is {kind!r}, whose labels are no classes, and config.{key}, "
                f"which is about classes, is {value!r}: leave it as it is in configs/base.py"
            )

    moving = {f"data.{name}": data[name] for name in ("size", "augment", "strong_augment")}
    for key, value in moving.items() if kind == "segmentation" else ():
        if value:
            raise ValueError(
                f"config.task.kind is 'segmentation', and config.{key} is {value!r}, which would "
                "move pixels away from their labels: leave it empty"
            )


def _check_files(data: Config) -> None:
    """Refuses impossible options of domains that are read from files."""
    if data["channels"] not in CHANNELS:
        raise ValueError(
            f"config.data.channels is {data['channels']}; legal are {', '.join(map(str, CHANNELS))}"
        )
    for name in ("val_share", "test_share"):
        check_number(f"config.data.{name}", data[name], below=1.0)
    for key in ("classes", "target_classes"):
        for index, name in enumerate(data[key]):
            if not isinstance(name, str) or list(data[key]).count(name) > 1:
                raise ValueError(
                    f"config.data.{key}[{index}] is {name!r}; it must be text that stands there "
                    "once"
                )


def _check_augment(options: Config, key: str, task: Mapping[str, Domain]) -> None:
    """Refuses options that cannot be, and pictures' augmentations of what is no picture."""
    make_augment(options, key)
    shape = task["source"].examples.images.shape[1:]
    if options and len(shape) != 3:
        raise ValueError(
            f"{key} is {dict(options)}, which changes pictures; the examples of config.source "
            f"{task['source'].name!r} have shape {shape}: leave it empty"
        )


def batch_shapes(
    method: Method, config: Config, task: Mapping[str, Domain]
) -> dict[str, dict[str, jax.ShapeDtypeStruct]]:
    """Says what a step's batch looks like.

    Args:
        method: The method.
        config: The resolved config.
        task: Both domains.

    Returns:
        Shapes by domain and field.
    """
    batch = {}
    batch_sizes = batch_sizes_of(config["data"], method.needs)
    for domain, fields in method.needs.items():
        count = batch_sizes[domain]
        shape = task[ROLE_OF_DOMAIN[domain]].examples.images.shape[1:]
        image = jax.ShapeDtypeStruct((count, *shape), jnp.float32)
        number = jax.ShapeDtypeStruct((count,), jnp.int32)
        labels = task[ROLE_OF_DOMAIN[domain]].examples.labels
        kind = jnp.float32 if labels.dtype.kind == "f" else jnp.int32
        label = jax.ShapeDtypeStruct((count, *labels.shape[1:]), kind)
        batch[domain] = {
            field: image if "image" in field else label if field == "label" else number
            for field in fields
        }
    return batch


def _shapes_of(method: Method, config: Config, task: Mapping[str, Domain]) -> Any:
    """Returns the shapes of a method's parameters; nothing is computed."""
    batch = batch_shapes(method, config, task)
    return jax.eval_shape(method.init, jax.random.key(0), batch)["params"]
