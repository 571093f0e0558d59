"""What a result says of the evaluations that the rules chose."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

from common.evaluation.task_metric import TaskMetric
from common.experiment.run_choice import optimised_scores
from common.experiment.selection import ORACLE, Primary, choose
from common.experiment.selection_rule import DEFAULT_RULE, scores_of

TARGET_SPLITS = ("target_val", "target_test")


def describe_chosen(
    evaluations: Sequence[Mapping[str, Any]],
    config: Mapping[str, Any],
    num_source_val: int,
    metric: TaskMetric,
    kept: Collection[str],
    measures: Collection[str] = (),
) -> dict[str, dict[str, Any]]:
    """Says what each rule chose, with what was measured there.

    Args:
        evaluations: Evaluation records of a run, in the order of their steps.
        config: Its resolved config.
        num_source_val: Size of the source's validation split.
        metric: Of the kind of task.
        kept: The rules whose chosen weights the run keeps.
        measures: Names of what the method measures instead of predictions.

    Returns:
        `selections` of `result.json`: by rule and for the oracles `step`, `weights_kept`, the
        primary metric on the source, `flags` and the scores that the run was trained for where
        there are any. Beside these all that was measured where weights were kept and of the
        oracle; of others the primary metric on the target and the scores that the rule read. What
        the method measures on a validation split is there for every rule.
    """
    primary = Primary(metric.primary, metric.higher_is_better)
    chosen = choose(evaluations, num_source_val=num_source_val, primary=primary)
    selections = {}
    for rule, index in chosen.items():
        if index is None:
            continue
        record = evaluations[index]
        compared = {f"{ORACLE}{split}_{primary.name}" for split in TARGET_SPLITS}
        compared |= {f"score/{name}" for name in scores_of(rule)}
        is_whole = rule in kept or rule == "oracle"
        selections[rule] = {
            "step": record["step"],
            "weights_kept": rule in kept,
            f"source_val_{primary.name}": record[f"source_val/{primary.name}"],
            **({"flags": record["flags"]} if record.get("flags") else {}),
            **{
                name: value
                for name, value in record.items()
                if name in compared or (is_whole and name.startswith((ORACLE, "score/")))
            },
            **{
                name.replace("/", "_"): value
                for name, value in record.items()
                if name.endswith(tuple(f"_val/{measure}" for measure in measures))
            },
        }
        if biased := optimised_scores(rule, config):
            selections[rule]["trained_for"] = biased
    return selections


def tell_chosen(result: Mapping[str, Any]) -> Iterator[str]:
    """Tells a person which step the default rule, the oracle and rules with weights chose.

    Args:
        result: A `result.json`.

    Yields:
        A line a rule, the default one first. The report tells what every rule chose.
    """
    metric, selections = result["primary_metric"]["name"], result["selections"]
    for name in sorted(selections, key=lambda name: (name != DEFAULT_RULE, name)):
        own = selections[name]
        if name in (DEFAULT_RULE, "oracle") or own.get("weights_kept", True):
            if measures := tuple(result.get("judged_by", ())):
                told = [f"{key} {own[key]:.4g}" for key in own if key.endswith(measures)]
                yield f"{name}: step {own['step']}, {', '.join(told)}"
                continue
            value = own.get(f"{ORACLE}target_test_{metric}")
            found = "the target has no labels" if value is None else f"{value:.3f}"
            yield f"{name}: step {own['step']}, target test {metric}: {found}"
