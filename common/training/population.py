"""One program for a population of runs: members differ in seeds, splits and traced values."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from common.data.pipeline import (
    balanced_classes,
    batch_sizes_of,
    check_sizes,
    indices,
    shares_of,
)
from common.data.stream import StepReader, Stream
from common.evaluation.output import scan
from common.method import Method, Outputs, check_needs, fold_in_name
from common.training import parallel
from common.training.batch import (
    ROLE_OF_DOMAIN,
    Tables,
    make_assemble,
    prepare,
    training_split,
)
from common.training.evaluation import make_evaluate
from common.training.hparam import make_hparams
from common.training.member import axes_of, over_members
from common.training.optimizer import Optimizer, make_optimizer
from common.training.split_pass import make_split_pass
from common.training.state import HEALTHY, State, create, evaluated_variables_of, keep
from common.training.step import make_train_step


class Program(NamedTuple):
    """The compiled functions of a population. Every leaf has a leading axis of members.

    Attributes:
        create: `(hparams, tables) -> state`, the state before step 0.
        chunk: `(state, tables, first_step, num_steps) -> (state, metrics)`, metrics by step.
        evaluate: `(state, tables) -> {split: sums}`, with what `TaskMetric.summarize` returns, and
            of classes under `score` the label-free scores and under `guard` what the collapse
            guard looks at, by name; under `measured` the means of `Method.measures` by split and
            name.
        keep: `(state, {rule: bool}) -> state`, keeps the current variables where true.
        hold: `(after, before, bool) -> state`, takes back a chunk where true; `before` is without
            the key, which never changes.
        refresh: `(state, tables) -> state`, the method's refresh over whole training splits.
        outputs: `(state, tables, role, split) -> Outputs` over a whole split.
        logits: `(variables, tables, role, split) -> logits` over a whole split, of any variables
            that a network is evaluated with.
        predict: `(state, tables, images, role) -> Outputs` of stored pictures that all members
            see, `[example, ...]`.
        close: Stops whatever reads ahead.
        optimizer: The optimizer, for its summary.
        refresh_every: Steps between refreshes; 0 for none.
    """

    create: Callable[[Any, Tables], State]
    chunk: Callable[[State, Tables, int, int], tuple[State, dict[str, Array]]]
    evaluate: Callable[[State, Tables], dict[str, dict[str, Array]]]
    keep: Callable[[State, Mapping[str, Any]], State]
    hold: Callable[[State, State, Any], State]
    refresh: Callable[[State, Tables], State]
    outputs: Callable[[State, Tables, str, str], Outputs]
    logits: Callable[[Any, Tables, str, str], Array]
    predict: Callable[[State, Tables, Any, str], Outputs]
    close: Callable[[], None]
    optimizer: Optimizer
    refresh_every: int


def make_program(
    method: Method,
    config: Mapping[str, Any],
    tables: Tables,
    num_members: int,
    rules: tuple[str, ...],
    *,
    stream: Stream | None = None,
    placement: parallel.Placement | None = None,
) -> Program:
    """Builds the program of a population.

    Args:
        method: The method, the same for all members.
        config: The resolved config of any member; only its structure is read.
        tables: By role (`source`, `target`): `label` and `maximum` shared by all members (labels
            may have a leading axis of members), and with such an axis the rows of `train`, `val`
            and `test`, of a target within a budget of labels `labelled`, and, for the source,
            `mean`; where pictures are resident also `image`, shared; of several sources
            `origin`, shared.
        num_members: Size of the population.
        rules: Selection rules for which variables are kept.
        stream: The pictures, where they stay on the host.
        placement: Where the program runs; None for one device.

    Returns:
        The program. Both places of the pictures, and every placement, see the same batches.

    Raises:
        ValueError: Something in the config does not fit the method or the data.
    """
    check_needs(method.needs)
    batch_sizes = batch_sizes_of(config["data"], method.needs)
    place_of = {
        domain: (role, training_split(domain, tables[role]))
        for domain in method.needs
        for role in (ROLE_OF_DOMAIN[domain],)
    }
    sizes = {domain: tables[role][split].shape[1] for domain, (role, split) in place_of.items()}
    classes = balanced_classes(config["data"], sizes)
    origin = tables["source"].get("origin")
    shares = shares_of(method.needs, origin)
    check_sizes(sizes, batch_sizes, classes, shares)
    num_sources = 1 if origin is None else int(np.asarray(origin).max()) + 1
    assemble = make_assemble(config["data"], method.needs, num_sources)
    images = stream.images if stream else {role: own["image"] for role, own in tables.items()}
    table_axes = axes_of(tables)
    passes = make_split_pass(
        *(method, tables, num_members, config["runtime"]["evaluation_batch_size"]),
        stream=stream,
        placement=placement,
    )

    def first_batch(tables):
        drawn = {domain: jnp.arange(batch_sizes[domain]) for domain in method.needs}
        stored = {}
        for domain, rows in drawn.items():
            own = images[ROLE_OF_DOMAIN[domain]]
            stored[domain] = jnp.zeros((*rows.shape, *own.shape[1:]), own.dtype)
        return assemble(tables, drawn, stored, jax.random.key(0))

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
    optimizer = make_optimizer(config["optimizer"], shapes, method.trains, method.groups)
    train_step = make_train_step(
        method, optimizer, config["num_steps"], config["optimizer"]["ema_decay"]
    )

    def create_one(hparams, tables):
        def init(key, batch):
            return make_room(method.init(key, batch), hparams, tables)

        return create(
            method._replace(init=init),
            optimizer,
            hparams["seed"],
            first_batch(tables),
            hparams,
            average=bool(config["optimizer"]["ema_decay"]),
            rules=rules,
        )

    def make_room(drawn, hparams, tables):
        """Gives the method's state the shapes of a refreshed one, such as a number an example."""
        if method.refresh is None:
            return drawn

        def refreshed(drawn, hparams, tables):
            outputs = {}
            for domain, (role, split) in place_of.items():
                own, rows = images[role], tables[role][split]
                stored = jnp.zeros((*rows.shape, *own.shape[1:]), own.dtype)
                outputs[domain] = method.predict(drawn, prepare(tables, role, stored), role)
            return refresh_one(drawn, hparams, tables, outputs)

        before = drawn["method_state"]
        after = jax.eval_shape(refreshed, drawn, hparams, tables)
        room = jax.tree.map(lambda new: jnp.zeros(new.shape, new.dtype), after)
        if jax.tree.structure(before) == jax.tree.structure(room):
            room = jax.tree.map(
                lambda old, new: old if old.shape == new.shape else new, before, room
            )
        return drawn | {"method_state": room}

    def roll_back_one(after, before):
        """Keeps a member that went wrong at its last good state; the others go on."""
        healthy = after.health == HEALTHY
        kept = jax.tree.map(lambda new, old: jnp.where(healthy, new, old), after, before)
        return kept._replace(health=after.health)

    def hold_one(after, before, stopped):
        return jax.tree.map(lambda new, old: jnp.where(stopped, old, new), after, before)

    def chunk_one(state, key, tables, drawn, pictures, one):
        def body(state, inputs):
            rows, stored = inputs
            if not stream:
                for domain, positions in rows.items():
                    role, split = place_of[domain]
                    table = tables[role]
                    stored[domain] = table["image"][table[split][positions]]
            rows, stored = parallel.split_rows((rows, stored), placement)
            own = fold_in_name(jax.random.fold_in(key, state.step), "batch")
            batch = parallel.split_rows(assemble(tables, rows, stored, own), placement)
            state, metrics = train_step(state._replace(key=key), batch)
            return state._replace(key=()), metrics

        after, metrics = scan(body, state, (drawn, pictures), one)
        return (roll_back_one(after, state) if num_members > 1 else after), metrics

    def refresh_one(variables, hparams, tables, outputs):
        assert method.refresh is not None
        evidence = {}
        for domain, fields in method.needs.items():
            role, split = place_of[domain]
            table, rows, own = tables[role], tables[role][split], outputs[domain]
            evidence[domain] = {"features": own.features, "logits": own.logits}
            if "label" in fields:
                evidence[domain]["label"] = table["label"][rows]
            if "image" in fields and not stream:
                evidence[domain]["image"] = prepare(tables, role, table["image"][rows])
            if "index" in fields:
                evidence[domain]["index"] = jnp.arange(rows.shape[0])
        try:
            return method.refresh(variables, evidence, hparams)
        except KeyError as error:
            if stream and error.args == ("image",):
                raise ValueError(
                    "this method's refresh reads whole splits of pictures, which a streamed run "
                    "does not hold; set config.runtime.data_path to resident"
                ) from None
            raise

    def predict_one(state, tables, images, role):
        return method.predict(evaluated_variables_of(state), prepare(tables, role, images), role)

    def compiled(function, *in_axes, **options):
        return jax.jit(over_members(function, num_members, in_axes), **options)

    run_chunk = parallel.compile_training(
        over_members(chunk_one, num_members, (0, 0, table_axes, 0, 0, None)), placement
    )
    roll_back = compiled(roll_back_one, 0, 0)
    run_hold = compiled(hold_one, 0, 0, 0)
    run_keep = compiled(keep, 0, 0, donate_argnums=0)
    run_refresh = compiled(refresh_one, 0, 0, table_axes, 0)

    if method.refresh:
        # What a refresh cannot do shows here, before anything is trained.
        hparams = {name: jnp.asarray(value) for name, value in make_hparams(config).items()}
        jax.eval_shape(
            over_members(lambda tables: create_one(hparams, tables), 1, (table_axes,)), tables
        )

    def draw(keys, first_step, num_steps):
        def of_member(key):
            return indices(key, first_step, num_steps, sizes, batch_sizes, classes, shares)

        return over_members(of_member, num_members, (0,))(keys)

    def draw_on_host(key_data, first_step, num_steps):
        with parallel.on_host():
            drawn = draw(jax.random.wrap_key_data(key_data), first_step, num_steps)
            return jax.tree.map(np.asarray, drawn)

    reader = None
    if stream:
        train_rows = {
            domain: (role, np.asarray(tables[role][split]))
            for domain, (role, split) in place_of.items()
        }
        own_rows = {
            domain: parallel.process_rows(count, placement) for domain, count in batch_sizes.items()
        }
        reader = StepReader(stream, draw_on_host, train_rows, own_rows, config["num_steps"])

    def chunk(state, tables, first_step, num_steps):
        # The key stays outside: it never changes, and the reader knows it again by identity.
        key, state, parts = state.key, state._replace(key=()), []
        if reader is None:
            blocks = [(draw(key, first_step, num_steps), {})]
        else:
            blocks = reader.blocks(key, first_step, num_steps)
        # Blocks are as long as memory allows, a chunk as the config says: that is what a member
        # that went wrong goes back to.
        before = jax.tree.map(jnp.copy, state) if reader and num_members > 1 else None
        for drawn, pictures in blocks:
            if len(parts) > 1:
                # A block is read and copied while the one before is trained on; without this, all
                # that are read in time would lie on the device and wait there.
                jax.block_until_ready(parts[-2])
            pictures = jax.tree.map(lambda block: parallel.place_block(block, placement), pictures)
            state, metrics = run_chunk(state, key, tables, drawn, pictures, 1)
            parts.append(metrics)
        if before is not None and len(parts) > 1:
            state = roll_back(state, before)
        metrics = parts[0]
        if len(parts) > 1:
            metrics = jax.tree.map(lambda *leaves: jnp.concatenate(leaves, axis=1), *parts)
        return state._replace(key=key), metrics

    def refresh(state, tables):
        variables = evaluated_variables_of(state)
        passed = {
            (role, split): passes.over_split(variables, tables, role, split, False)
            for role, split in dict.fromkeys(place_of.values())
        }
        outputs = {domain: passed[place] for domain, place in place_of.items()}
        return state._replace(method_state=run_refresh(variables, state.hparams, tables, outputs))

    def keep_choice(state, take):
        return run_keep(state._replace(key=()), take)._replace(key=state.key)

    def hold(after, before, stopped):
        return run_hold(after._replace(key=()), before, stopped)._replace(key=after.key)

    return Program(
        create=compiled(create_one, 0, table_axes),
        chunk=chunk,
        evaluate=make_evaluate(
            config, tables, num_members, passes, has_measures=bool(method.measures)
        ),
        keep=keep_choice,
        hold=hold,
        refresh=refresh,
        outputs=lambda state, tables, role, split: passes.over_split(
            evaluated_variables_of(state), tables, role, split, False
        ),
        logits=lambda variables, tables, role, split: passes.over_split(
            variables, tables, role, split, True
        ),
        predict=lambda state, tables, images, role: compiled(
            lambda state, tables, images: predict_one(state, tables, images, role),
            *(0, table_axes, None),
        )(state, tables, images),
        close=reader.close if reader else lambda: None,
        optimizer=optimizer,
        # A method may refresh before step 0 alone.
        refresh_every=(method.refresh_every or config["num_steps"]) if method.refresh else 0,
    )
