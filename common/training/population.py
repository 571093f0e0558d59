"""One program for a population of runs: members differ in seeds, splits and traced values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

from common.data.augment import make_augment
from common.data.pipeline import check_sizes, indices, scale_images
from common.evaluation.metric import confusion_matrix, mean_loss
from common.evaluation.output import outputs_over
from common.evaluation.scores.score import SCORES
from common.method import Method, check_needs, fold_in_name
from common.training.optimizer import Optimizer, make_optimizer
from common.training.state import HEALTHY, State, create, evaluated_variables_of, keep
from common.training.step import make_train_step

# Labelled target examples are drawn from the target's training split.
ROLE_OF_DOMAIN = {"source": "source", "target": "target", "target_labelled": "target"}
EVALUATED_SPLITS = (("source", "val"), ("target", "val"), ("target", "test"))

CENTERS = ("none", "source")

Tables = Mapping[str, Any]


class Program(NamedTuple):
    """The compiled functions of a population. Every leaf has a leading axis of members.

    Attributes:
        create: `(hparams, tables) -> state`, the state before step 0.
        chunk: `(state, tables, first_step, num_steps) -> (state, metrics)`, metrics by step.
        evaluate: `(state, tables) -> {split: {"confusion", "loss"}}`, and under `score` the
            label-free scores by name.
        keep: `(state, {rule: bool}) -> state`, keeps the current variables where true.
        refresh: `(state, tables) -> state`, the method's refresh over whole training splits.
        outputs: `(state, tables, role, split) -> Outputs` over a whole split.
        optimizer: The optimizer, for its summary.
        refresh_every: Steps between refreshes; 0 for none.
    """

    create: Callable[[Any, Tables], State]
    chunk: Callable[[State, Tables, int, int], tuple[State, dict[str, Array]]]
    evaluate: Callable[[State, Tables], dict[str, dict[str, Array]]]
    keep: Callable[[State, Mapping[str, Any]], State]
    refresh: Callable[[State, Tables], State]
    outputs: Callable[..., Any]
    optimizer: Optimizer
    refresh_every: int


def over_members(function: Callable, num_members: int, in_axes: tuple[Any, ...]) -> Callable:
    """Maps a function of one run over a population.

    A population of one runs the function itself: `vmap` over one member would still turn every
    matrix product into a batched one.

    Args:
        function: A function of one run.
        num_members: Size of the population.
        in_axes: 0 or None for each argument, or trees of them, as `jax.vmap` takes.

    Returns:
        The function of the population.
    """
    if num_members > 1:
        return jax.vmap(function, in_axes=in_axes)

    def alone(*arguments):
        def first(axes, tree):
            if isinstance(axes, Mapping):
                return {name: first(axes[name], tree[name]) for name in tree}
            return tree if axes is None else jax.tree.map(lambda leaf: leaf[0], tree)

        result = function(*map(first, in_axes, arguments))
        return jax.tree.map(lambda leaf: leaf[None], result)

    return alone


def make_program(
    method: Method, config: Mapping[str, Any], tables: Tables, num_members: int, rules: tuple
) -> Program:
    """Builds the program of a population.

    Args:
        method: The method, the same for all members.
        config: The resolved config of any member; only its structure is read.
        tables: By role (`source`, `target`): `image`, `label` and `maximum` shared by all
            members, and the rows of `train`, `val` and `test` with a leading axis of members.
        num_members: Size of the population.
        rules: Selection rules for which variables are kept.

    Returns:
        The program.

    Raises:
        ValueError: Something in the config does not fit the method or the data.
    """
    check_needs(method.needs)
    if config["data"]["center"] not in CENTERS:
        raise ValueError(
            f"config.data.center is {config['data']['center']!r}; legal are {', '.join(CENTERS)}"
        )
    data, average = config["data"], bool(config["optimizer"]["ema_decay"])
    augment = make_augment(data["augment"])
    augment_strongly = make_augment(data["strong_augment"])
    if (
        any("strong_image" in fields for fields in method.needs.values())
        and not (data["strong_augment"])
    ):
        raise ValueError("the method needs strong_image, but config.data.strong_augment is empty")
    batch_sizes = {domain: data["batch_size"] for domain in method.needs}
    sizes = {domain: tables[ROLE_OF_DOMAIN[domain]]["train"].shape[1] for domain in method.needs}
    check_sizes(sizes, batch_sizes)
    table_axes = {
        role: {name: 0 if name in ("train", "val", "test") else None for name in table}
        for role, table in tables.items()
    }

    def mean_of(tables):
        """Averages the source's training pictures: no row's input may depend on the target."""
        source = tables["source"]
        if data["center"] == "none":
            return jnp.zeros_like(source["maximum"])
        pictures = scale_images(source["image"][source["train"]], source["maximum"])
        return jnp.mean(pictures, axis=0, keepdims=True)

    def gather(tables, mean, drawn, key):
        batch = {}
        for number, (domain, fields) in enumerate(method.needs.items()):
            table = tables[ROLE_OF_DOMAIN[domain]]
            rows = table["train"][drawn[domain]]
            own = fold_in_name(key, domain)
            images = scale_images(table["image"][rows], table["maximum"])
            values = {
                "image": augment(fold_in_name(own, "weak"), images) - mean,
                "strong_image": augment_strongly(fold_in_name(own, "strong"), images) - mean,
                "label": table["label"][rows],
                "index": drawn[domain],
                "domain": jnp.full(rows.shape, number, jnp.int32),
            }
            batch[domain] = {field: values[field] for field in fields}
        return batch

    def outputs_of(variables, tables, role, rows, domain):
        table, mean = tables[role], mean_of(tables)

        def predict(rows):
            images = scale_images(table["image"][rows], table["maximum"]) - mean
            return method.predict(variables, images, domain)

        return outputs_over(predict, rows, config["runtime"]["evaluation_batch_size"])

    def first_batch(tables):
        drawn = {domain: jnp.arange(batch_sizes[domain]) for domain in method.needs}
        return gather(tables, mean_of(tables), drawn, jax.random.key(0))

    shapes = jax.eval_shape(
        over_members(
            lambda tables: method.init(jax.random.key(0), first_batch(tables)), 1, (table_axes,)
        ),
        tables,
    )["params"]
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape[1:], leaf.dtype), shapes)
    for phase in method.phases:
        unknown = sorted(set(phase.update) - set(shapes))
        if unknown:
            raise ValueError(
                f"a phase updates the root {unknown[0]!r}; the method has {', '.join(shapes)}"
            )
    optimizer = make_optimizer(config["optimizer"], shapes)
    train_step = make_train_step(
        method, optimizer, config["num_steps"], config["optimizer"]["ema_decay"]
    )

    def create_one(hparams, tables):
        return create(
            method,
            optimizer,
            hparams["seed"],
            first_batch(tables),
            hparams,
            average=average,
            rules=rules,
        )

    def chunk_one(state, tables, drawn, one):
        mean = mean_of(tables)

        def step_at(turn, state):
            key = fold_in_name(jax.random.fold_in(state.key, state.step), "batch")
            rows = jax.tree.map(lambda positions: positions[turn], drawn)
            return train_step(state, gather(tables, mean, rows, key))

        def body(turn, carry):
            state, metrics = step_at(turn, carry[0])
            return state, jax.tree.map(
                lambda column, value: jax.lax.dynamic_update_index_in_dim(column, value, turn, 0),
                *(carry[1], metrics),
            )

        num_steps = jax.tree.leaves(drawn)[0].shape[0]
        unset = jax.tree.map(
            lambda leaf: jnp.zeros((num_steps, *leaf.shape), leaf.dtype),
            jax.eval_shape(step_at, 0, state)[1],
        )
        # XLA inlines a loop that it knows to take one turn, and then rounds in another order. The
        # length of a chunk must change no bit, so a single turn is hidden in a traced number.
        turns = num_steps if num_steps > 1 else one
        after, metrics = jax.lax.fori_loop(0, turns, body, (state, unset))
        if num_members > 1:
            # A member that went wrong stays at its last good state; the others go on.
            healthy = after.health == HEALTHY
            after = jax.tree.map(
                lambda new, old: jnp.where(healthy, new, old), after, state
            )._replace(health=after.health)
        return after, metrics

    def evaluate_one(state, tables):
        variables = evaluated_variables_of(state)
        result = {}
        for role, split in EVALUATED_SPLITS:
            rows = tables[role][split]
            outputs = outputs_of(variables, tables, role, rows, role)
            labels = tables[role]["label"][rows]
            result[f"{role}_{split}"] = {
                "confusion": confusion_matrix(outputs.logits, labels),
                "loss": mean_loss(outputs.logits, labels),
            }
            if (role, split) == ("target", "val"):
                result["score"] = {name: score(outputs.logits) for name, score in SCORES.items()}
        return result

    def refresh_one(state, tables):
        assert method.refresh is not None
        variables = evaluated_variables_of(state)
        evidence = {}
        for domain, fields in method.needs.items():
            role = ROLE_OF_DOMAIN[domain]
            table, rows = tables[role], tables[role]["train"]
            outputs = outputs_of(variables, tables, role, rows, domain)
            evidence[domain] = {"features": outputs.features, "logits": outputs.logits}
            if "label" in fields:
                evidence[domain]["label"] = table["label"][rows]
            if "image" in fields:
                images = scale_images(table["image"][rows], table["maximum"])
                evidence[domain]["image"] = images - mean_of(tables)
            if "index" in fields:
                evidence[domain]["index"] = jnp.arange(rows.shape[0])
        return state._replace(method_state=method.refresh(variables, evidence, state.hparams))

    def compiled(function, *in_axes, **options):
        return jax.jit(over_members(function, num_members, in_axes), **options)

    run_chunk = compiled(chunk_one, 0, table_axes, 0, None, donate_argnums=0)
    run_outputs = {
        (role, split): compiled(
            lambda state, tables, role=role, split=split: outputs_of(
                evaluated_variables_of(state), tables, role, tables[role][split], role
            ),
            0,
            table_axes,
        )
        for role in ("source", "target")
        for split in ("train", "val", "test")
    }

    def chunk(state, tables, first_step, num_steps):
        drawn = over_members(
            lambda key: indices(key, first_step, num_steps, sizes, batch_sizes), num_members, (0,)
        )(state.key)
        return run_chunk(state, tables, drawn, 1)

    return Program(
        create=compiled(create_one, 0, table_axes),
        chunk=chunk,
        evaluate=compiled(evaluate_one, 0, table_axes),
        keep=compiled(keep, 0, 0, donate_argnums=0),
        refresh=compiled(refresh_one, 0, table_axes, donate_argnums=0),
        outputs=lambda state, tables, role, split: run_outputs[role, split](state, tables),
        optimizer=optimizer,
        # A method may refresh before step 0 alone.
        refresh_every=(method.refresh_every or config["num_steps"]) if method.refresh else 0,
    )
