"""A linear support vector machine in the place of a trained network's last layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from common.evaluation.metric import classification_metrics, count_predictions
from common.experiment.selection import ORACLE
from common.models.mlp import ACTIVATIONS

PENALTIES = (0.001, 0.01, 0.1, 1.0)
NUM_FOLDS = 3
# Where a class has one example, as under a budget of one label a class, nothing can be held out.
# Few examples need strong regularisation most, so the smallest is taken.
PENALTY_OF_SINGLE_EXAMPLES = PENALTIES[0]
# Enough for the inputs of a last layer; the machine's time grows faster than their number.
MAX_EXAMPLES = 10_000


def head_inputs(
    task_head: Mapping[str, Any], features: Float[np.ndarray, "example feature"], activation: str
) -> Float[np.ndarray, "example unit"]:
    """Computes what the last layer of a task head sees.

    Args:
        task_head: The head's parameters.
        features: Output of the feature extractor.
        activation: The head's activation.

    Returns:
        The activations of its last hidden layer; the features where it has none.
    """
    hidden, value = task_head.get("hidden", {}), features
    for index in range(len(hidden)):
        layer = hidden[f"dense_{index}"]
        value = value @ np.asarray(layer["kernel"]) + np.asarray(layer["bias"])
        value = np.asarray(ACTIVATIONS[activation](value))
    return value


def retrain_head(
    inputs: Mapping[str, Float[np.ndarray, "example unit"]],
    labels: Mapping[str, Int[np.ndarray, "example"]],
    num_classes: int,
    seed: int,
) -> dict[str, Any]:
    """Fits the machine to the source, and scores it on both domains.

    Inputs are standardised. The penalty is chosen by cross-validation on the examples that are
    fitted, in at most `NUM_FOLDS` folds, each with every class. It is `PENALTY_OF_SINGLE_EXAMPLES`
    where some class has one example alone.

    Args:
        inputs: What the last layer sees, for `train` and `val` of the source, `test` of the target.
        labels: Classes of the same; negative in the target where there is none.
        num_classes: Number of classes.
        seed: Draws the source's examples, where there are more than `MAX_EXAMPLES`.

    Returns:
        `source_val_accuracy`, `penalty`, and where the target has labels its test metrics under
        names that begin with `oracle/target_test_`.

    References:
        Ganin et al., Domain-Adversarial Training of Neural Networks, JMLR 17 (2016), section 5.2.
    """
    from sklearn.model_selection import GridSearchCV
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler
    from sklearn.svm import LinearSVC

    order = np.random.default_rng([seed, 11]).permutation(len(labels["train"]))[:MAX_EXAMPLES]
    examples, classes = inputs["train"][order], labels["train"][order]
    smallest = int(np.unique(classes, return_counts=True)[1].min())
    machine = make_pipeline(
        StandardScaler(),
        LinearSVC(C=PENALTY_OF_SINGLE_EXAMPLES, dual="auto", max_iter=10_000, random_state=0),
    )
    penalty = PENALTY_OF_SINGLE_EXAMPLES
    if smallest > 1:
        folds = min(NUM_FOLDS, smallest)
        search = GridSearchCV(machine, {"linearsvc__C": PENALTIES}, cv=folds)
        machine = search.fit(examples, classes).best_estimator_
        penalty = search.best_params_["linearsvc__C"]
    else:
        machine.fit(examples, classes)
    right = machine.predict(inputs["val"]) == labels["val"]
    scored = {"source_val_accuracy": float(np.mean(right)), "penalty": float(penalty)}
    known = labels["test"] >= 0
    if not known.any():
        return scored
    predicted = machine.predict(inputs["test"][known])
    metrics = classification_metrics(
        count_predictions(predicted, labels["test"][known], num_classes)
    )
    return scored | {f"{ORACLE}target_test_{name}": value for name, value in metrics.items()}
