"""The figures of a report: what each shows of the runs, and how to read it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from common.experiment.reporting import (
    boundary_figure,
    calibration_figure,
    embedding_figure,
    example_figure,
    label_figure,
    rule_figure,
    score_figure,
)
from common.experiment.reporting import figure as figures
from common.experiment.reporting.cell import title_of
from common.experiment.reporting.figure_style import colors_of, save
from common.experiment.reporting.grouping import (
    BASELINES,
    method_of,
    reference_of,
    rows_of,
    with_same_data,
)
from common.experiment.reporting.kept_output import load_arrays, logits_of, shared_outputs
from common.experiment.reporting.markdown import class_names
from common.experiment.reporting.row import class_change, confusions_of, values_of
from common.experiment.reporting.run_record import Run, RunsBySeed, is_number, part_of
from common.experiment.reporting.summary import describe_task

A_DISTANCE = "score/proxy_a_distance"
TITLE_LETTERS = 60  # of a task, so that a word of its figures' titles has a line to stand on
READING = {
    "accuracy_by_labels": label_figure.READING,
    "accuracy_by_method": "Small dots are single seeds, large dots means, bars 95 % intervals over "
    "seeds; thin lines join the runs of one seed in source_only and dann.",
    "accuracy_by_rule": rule_figure.READING,
    "score_against_accuracy": score_figure.READING,
    "reliability": calibration_figure.READING,
    "training_curves": "Lines are medians over seeds, bands the middle half of the seeds; target "
    "accuracy is shown for comparison and steers nothing. Marks on it show where each rule took "
    "the weights, at the median step over seeds.",
    "decision_boundary": "Fields show what a row takes each place of the plane for, coloured dots "
    "are test points of the target by true class, grey dots points of the source; above a panel is "
    "the accuracy on all test points of the target. Columns are seeds; where the title says that "
    "some are left out, results.csv has the accuracy of each.",
    "sample_pictures": "The first picture of each class in the order of the splits, and what each "
    "row takes the target's for; wrong predictions are crossed.",
    "embedding": embedding_figure.READING["t-SNE"],
    "embedding_pca": embedding_figure.READING["PCA"],
    "embedding_umap": embedding_figure.READING["UMAP"],
    "confusion": "A line is a true class, a column what it is taken for, in percent of the line "
    "and averaged over seeds; a perfect row is dark on the diagonal alone.",
    "per_class_change": "Dots are mean changes of a class's accuracy over the shared seeds, bars "
    "95 % intervals; a class left of zero lost by adaptation.",
}


def save_figures(group: Sequence[Run], folder: Path, prefix: str) -> dict[str, dict[str, str]]:
    """Draws the figures of one task; one that cannot be drawn gets a reason.

    Args:
        group: Finished runs of one task.
        folder: A folder with a folder `figures`.
        prefix: Begins the names of the files.

    Returns:
        By figure, either `file` and `reading` or the `reason` why there is none.
    """
    entries = {}
    for name, draw in _figure_makers(group).items():
        file = f"figures/{prefix}{name}.png"
        try:
            save(draw(), folder / file)
            entries[name] = {"file": file, "reading": READING[name]}
        # The tables must not be lost because the arrays of one run are odd.
        except Exception as error:
            entries[name] = {"reason": str(error) or type(error).__name__}
    return entries


def _figure_makers(group: Sequence[Run]) -> dict[str, Callable[[], Any]]:
    """Returns functions that draw the figures of one task, by name."""
    members, _ = rows_of(group)
    described = describe_task(group, members)
    classes, labels = described["classes"], described["labels"]
    task = title_of(group[0].result["task"], TITLE_LETTERS)
    adapted = [name for name in members if method_of(name) not in BASELINES]
    after = next((name for name in adapted if name == "dann"), next(iter(adapted), None))
    before = reference_of(after or next(iter(members)), "source_only", members)
    pair = [name for name in (before, after) if name is not None] or list(members)[:1]
    # What stands side by side shows the same examples.
    shown_rows = {name: with_same_data(members[name], members[pair[-1]]) for name in pair}
    colors = colors_of(members)
    confusions = {name: confusions_of(members[name], "last") for name in members}
    rules = [rule for runs in members.values() for rule in rules_of(runs)]
    pairs = score_figure.pairs_of(
        {name: [run.records for run in runs.values()] for name, runs in members.items()}
    )
    kept = logits_of(shown_rows)

    def show_labels():
        title = f"{task}: target test accuracy by labelled target examples"
        own = colors_of(labels["lines"])
        return label_figure.accuracy_by_labels(labels, own, title=title)

    def show_accuracy():
        accuracy = {name: values_of(runs, "last") for name, runs in members.items()}
        title = f"{task}: target test accuracy at the last step"
        return figures.accuracy_by_method(accuracy, colors, title=title)

    def show_training():
        records = {name: [run.records for run in runs.values()] for name, runs in members.items()}
        title = f"{task}: median and middle half of the seeds"
        chosen = {
            name: {rule: list(values_of(runs, rule, "step").values()) for rule in rules_of(runs)}
            for name, runs in members.items()
        }
        return figures.training_curves(records, colors, title=title, chosen=chosen)

    def show_rules():
        accuracy = {
            name: {rule: values_of(runs, rule) for rule in rules_of(runs)}
            for name, runs in members.items()
        }
        title = f"{task}: target test accuracy by the rule that chose the step"
        return rule_figure.accuracy_by_rule(accuracy, title=title)

    def show_scores():
        title = f"{task}: label-free scores against accuracy, at every evaluation"
        return score_figure.score_against_accuracy(pairs, colors, title=title)

    def show_reliability():
        title = f"{task}: reliability of predictions at the last step"
        return calibration_figure.reliability(kept, colors, title=title)

    def show_boundary():
        files = {
            name: {seed: run.folder / "outputs.npz" for seed, run in runs.items()}
            for name, runs in shown_rows.items()
        }
        seeds = [
            seed
            for seed in sorted(set.intersection(*map(set, files.values())))
            if all(own[seed].is_file() for own in files.values())
        ]
        shown = seeds[: boundary_figure.MAX_SEEDS]
        outputs = {
            name: {seed: load_arrays(own[seed]) for seed in shown} for name, own in files.items()
        }
        accuracy = {name: values_of(members[name], "last") for name in pair}
        title = f"{task}: decision boundary and target test accuracy"
        if len(shown) < len(seeds):
            title = f"{task}: decision boundary, first {len(shown)} of {len(seeds)} seeds"
        return boundary_figure.decision_boundary(outputs, accuracy, colors, classes, title=title)

    def show_pictures():
        seed, outputs = shared_outputs(shown_rows)
        title = f"{task}: pictures and predictions (seed {seed})"
        return example_figure.sample_pictures(outputs, classes, colors, title=title)

    def show_embedding(projection: str):
        seed, outputs = shared_outputs(shown_rows)
        title = f"{task}: features by {projection} (seed {seed})"
        distances = last_values({name: shown_rows[name][seed] for name in outputs}, A_DISTANCE)
        return embedding_figure.embedding(
            outputs, classes, title=title, projection=projection, distances=distances
        )

    def show_confusion():
        counts = {name: np.stack([*confusions[name].values()]) for name in pair if confusions[name]}
        names = class_names(classes, _only({array.shape[-1] for array in counts.values()}))
        return figures.confusion(counts, names, title=f"{task}: what target examples are taken for")

    def show_change():
        changes = {}
        for name in adapted:
            reference = reference_of(name, "source_only", members)
            base = with_same_data(members[reference], members[name]) if reference else {}
            change = class_change(confusions[name], confusions_of(base, "last"))
            changes |= {} if change is None else {name: change}
        names = class_names(classes, _only({change.shape[-1] for change in changes.values()}))
        title = f"{task}: change of each class{f', {adapted[0]}' if len(adapted) == 1 else ''}"
        return figures.per_class_change(changes, names, colors, title=title)

    shape = part_of(group[0].result, "example_shape", list)
    by_shape = {"sample_pictures": show_pictures}
    if len(shape) == 1:
        by_shape = {"decision_boundary": show_boundary} if shape == [2] else {}
    return {
        # The first stands at the top of the report; of rows by number of labels one says it all.
        **(
            {"accuracy_by_labels": show_labels} if labels else {"accuracy_by_method": show_accuracy}
        ),
        **({"accuracy_by_rule": show_rules} if len(rule_figure.shown_rules(rules)) > 1 else {}),
        "training_curves": show_training,
        **({"score_against_accuracy": show_scores} if pairs else {}),
        **({"reliability": show_reliability} if kept else {}),
        **by_shape,
        **{
            f"embedding_{projection.lower()}".removesuffix("_t-sne"): functools.partial(
                show_embedding, projection
            )
            for projection in embedding_figure.available_projections()
        },
        "confusion": show_confusion,
        "per_class_change": show_change,
    }


def last_values(runs: Mapping[str, Run], key: str) -> dict[str, float]:
    """Returns a number of each run's last record.

    Args:
        runs: Runs by row.
        key: Name of the number.

    Returns:
        The number by row, where it was recorded.
    """
    last = {name: run.records[-1] for name, run in runs.items() if run.records}
    return {name: float(own[key]) for name, own in last.items() if is_number(own.get(key))}


def rules_of(runs: RunsBySeed) -> list[str]:
    """Names the rules that chose a step in any of the runs, in their order.

    Args:
        runs: Runs by seed.

    Returns:
        Names of selections.
    """
    return list(dict.fromkeys(rule for run in runs.values() for rule in run.result["selections"]))


def _only(sizes: set[int]) -> int:
    if len(sizes) != 1:
        raise ValueError("there are no confusion matrices of one size to compare")
    return sizes.pop()
