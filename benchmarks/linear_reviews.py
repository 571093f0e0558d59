"""How far a linear SVM gets on the Amazon reviews, trained on the source product alone.

Every pair of products: 2,000 labelled reviews of the source, the official test reviews of the
target. C is chosen from the ten values of the DANN paper in two ways, neither of which sees a label
of the target: by cross-validation on the source, and by reverse validation (Ganin et al., JMLR 17
(2016), section 5.1.2), which also reads the 2,000 unlabelled reviews of the target.

    ADAPTAX_DATA=FOLDER PYTHONPATH=. python benchmarks/linear_reviews.py
    PYTHONPATH=. python benchmarks/linear_reviews.py --data=FOLDER

With `--runs=runs/amazon_reviews` it also puts a row `linear_svm` beside the finished runs of
`configs/amazon_reviews.py`, so that `launch.py report` compares them: log(1 + count), C chosen on
the source. The machine learns from all 2,000 labelled reviews, of which the networks leave 200 for
validation, and is the same for every seed.
"""

import argparse
import contextlib
import itertools
import json
import os
import tarfile
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

DESCRIPTION = (
    "How far a linear SVM gets on the Amazon reviews, trained on the source product alone."
)
PRODUCTS = ("books", "dvd", "electronics", "kitchen")
PARTS = ("train", "test")
WORDS = 5000
# The values that section 5.1.2 of the paper searches, evenly spaced in the logarithm
PENALTIES = np.logspace(-5, 0, 10)
FOLDS = 5
RULES = ("C on source", "C by reverse validation")
ROW, SHOWN = "linear_svm", ("log(1 + count)", RULES[0])


def read_reviews(folder: Path) -> dict[str, tuple[Any, np.ndarray]]:
    """Reads the counts of all products.

    Args:
        folder: Holds `books_train.svmlight`, `books_test.svmlight` and so on, or
            `amazon_reviews.tar.xz` with these files.

    Returns:
        By `<product>_<part>` the sparse counts [reviews, 5000] and the labels, -1 or 1.

    Raises:
        ValueError: A file is missing.
    """
    from sklearn.datasets import load_svmlight_file

    names = [f"{product}_{part}" for product in PRODUCTS for part in PARTS]
    archive = folder / "amazon_reviews.tar.xz"
    files: dict[str, Any] = {name: folder / f"{name}.svmlight" for name in names}
    missing = [path.name for path in files.values() if not path.is_file()]
    if missing and not archive.is_file():
        raise ValueError(
            f"{folder} lacks {', '.join(missing)} and {archive.name}; name the folder that holds "
            "them by --data"
        )
    layout: dict[str, Any] = {"n_features": WORDS, "zero_based": True}
    reviews = {}
    with tarfile.open(archive) if missing else contextlib.nullcontext() as packed:
        for name, path in files.items():
            member = packed.extractfile(path.name) if packed else path
            table, labels = load_svmlight_file(member, **layout)
            # liblinear takes 32-bit indices alone.
            table.indices = table.indices.astype(np.int32)
            table.indptr = table.indptr.astype(np.int32)
            reviews[name] = table, labels
    return reviews


def counts(source: Any) -> Callable[[Any], Any]:
    """Keeps the counts as they are.

    Args:
        source: Not used.

    Returns:
        From counts to inputs.
    """
    del source
    return lambda table: table


def binary(source: Any) -> Callable[[Any], Any]:
    """Tells only whether a word is there.

    Args:
        source: Not used.

    Returns:
        From counts to inputs.
    """
    del source
    return lambda table: (table > 0).astype(np.float64)


def logarithm(source: Any) -> Callable[[Any], Any]:
    """Takes log(1 + count).

    Args:
        source: Not used.

    Returns:
        From counts to inputs.
    """
    del source
    return lambda table: table.log1p()


def tfidf(source: Any) -> Callable[[Any], Any]:
    """Weighs words by their rarity in the source and gives each review length 1.

    Args:
        source: Counts of the source's training reviews.

    Returns:
        From counts to inputs.
    """
    from sklearn.feature_extraction.text import TfidfTransformer

    return TfidfTransformer().fit(source).transform


FEATURES: Mapping[str, Callable[[Any], Callable[[Any], Any]]] = {
    "counts": counts,
    "binary": binary,
    "log(1 + count)": logarithm,
    "tf-idf": tfidf,
}


def train(inputs: Any, labels: np.ndarray, penalty: float) -> Any:
    """Fits a linear SVM with squared hinge loss.

    Args:
        inputs: [reviews, words].
        labels: -1 or 1.
        penalty: C.

    Returns:
        The classifier.
    """
    from sklearn.svm import LinearSVC

    # The primal solver is deterministic, and fast where C is large.
    options: dict[str, Any] = {"C": float(penalty), "dual": False, "max_iter": 100}
    return LinearSVC(**options).fit(inputs, labels)


def source_risk(inputs: Any, labels: np.ndarray, penalty: float) -> float:
    """Estimates the error on the source by cross-validation.

    Args:
        inputs: The source's training reviews.
        labels: Their labels.
        penalty: C.

    Returns:
        The mean error over the folds.
    """
    from sklearn.model_selection import StratifiedKFold

    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(inputs, labels)
    return 1 - float(
        np.mean(
            [
                train(inputs[fitted], labels[fitted], penalty).score(inputs[held], labels[held])
                for fitted, held in folds
            ]
        )
    )


def reverse_risk(source: Any, labels: np.ndarray, target: Any, penalty: float) -> float:
    """Estimates by reverse validation how well a classifier transfers, without a target label.

    A classifier of nine tenths of the source labels nine tenths of the target; a second classifier
    learns these labels and is scored on the tenth of the source that neither has seen.

    Args:
        source: The source's training reviews.
        labels: Their labels.
        target: The target's training reviews.
        penalty: C of both classifiers.

    Returns:
        The error of the second classifier.
    """
    from sklearn.model_selection import train_test_split

    fitted, held, known, answers = train_test_split(
        source, labels, test_size=0.1, random_state=0, stratify=labels
    )
    unlabelled, _ = train_test_split(target, test_size=0.1, random_state=0)
    guesses = train(fitted, np.asarray(known), penalty).predict(unlabelled)
    if len(np.unique(guesses)) == 1:
        return float(np.mean(answers != guesses[0]))
    return 1 - train(unlabelled, guesses, penalty).score(held, answers)


def choose(risk: Callable[[float], float]) -> float:
    """Returns the first C of least risk; a tie goes to the stronger regularisation.

    Args:
        risk: The estimated error by C.

    Returns:
        C.
    """
    return float(min(PENALTIES, key=risk))


def accuracies(
    reviews: Mapping[str, tuple[Any, np.ndarray]], source: str, target: str
) -> dict[tuple[str, str], tuple[float, float]]:
    """Scores one pair of products.

    Args:
        reviews: From `read_reviews`.
        source: Product with labels.
        target: Product to classify.

    Returns:
        By name of the features and of the rule that chose C: the accuracy on the target's test
        reviews, and C.
    """
    known, labels = reviews[f"{source}_train"]
    unlabelled, _ = reviews[f"{target}_train"]
    asked, answers = reviews[f"{target}_test"]
    results = {}
    for name, prepare in FEATURES.items():
        transform = prepare(known)
        inputs, other, test = transform(known), transform(unlabelled), transform(asked)
        risks = (
            lambda penalty, inputs=inputs: source_risk(inputs, labels, penalty),
            lambda penalty, inputs=inputs, other=other: reverse_risk(
                inputs, labels, other, penalty
            ),
        )
        for rule, risk in zip(RULES, risks, strict=True):
            penalty = choose(risk)
            results[name, rule] = train(inputs, labels, penalty).score(test, answers), penalty
    return results


def write_runs(folder: Path, accuracy: Mapping[tuple[str, str], float]) -> int:
    """Writes a run of the machine beside each finished run of source_only.

    Args:
        folder: Run folders of an experiment.
        accuracy: Accuracy on the target's test reviews by source and target.

    Returns:
        How many were written.
    """
    count = 0
    for path in sorted(folder.glob("source_only-*/result.json")):
        result = json.loads(path.read_text())
        about = json.loads((path.parent / "config.json").read_text())
        pair = tuple(result[role].rpartition("/")[2] for role in ("source", "target"))
        name = f"{ROW}-{'-'.join(pair)}-seed{result['seed']}"
        chosen = {"step": 0, "oracle/target_test_accuracy": accuracy[pair]}
        result |= {
            "run_id": name,
            "method": ROW,
            "steps": 0,
            "parameters": {"total": WORDS + 1, "trained": WORDS + 1},
            "selections": {"last": chosen},
            "warnings": [],
        }
        about["config"] |= {"method": ROW, "model": {"name": ROW}}
        own = folder / name
        own.mkdir(exist_ok=True)
        for file in ("metrics.jsonl", "time.jsonl"):
            (own / file).write_text("")
        (own / "config.json").write_text(json.dumps(about | {"run_id": name}))
        (own / "result.json").write_text(json.dumps(result))
        count += 1
    return count


def main() -> None:
    """Prints a table of the 12 pairs."""
    parser = argparse.ArgumentParser(description=DESCRIPTION)
    default = os.environ.get("ADAPTAX_DATA")
    parser.add_argument(
        "--data",
        type=Path,
        default=Path(default) / "amazon_reviews" if default else None,
        help="folder of the svmlight files or of amazon_reviews.tar.xz",
    )
    parser.add_argument("--runs", type=Path, help="folder of runs that get the row linear_svm")
    arguments = parser.parse_args()
    folder, runs = arguments.data, arguments.runs
    if runs is not None and not any(runs.glob("source_only-*/result.json")):
        parser.error(f"{runs} holds no finished run of source_only; train them first")
    if folder is None:
        parser.error("name the folder of the reviews by --data, or set ADAPTAX_DATA")
    try:
        reviews = read_reviews(folder)
    except ValueError as error:
        parser.error(str(error))
    # Where C is 1 on raw counts the solver stops before its tolerance is met; so would any user's.
    warnings.filterwarnings("ignore", message="Liblinear failed to converge")
    start = time.perf_counter()
    rows = {
        (source, target): accuracies(reviews, source, target)
        for source, target in itertools.permutations(PRODUCTS, 2)
    }
    seconds = time.perf_counter() - start
    columns = [(name, rule) for name in FEATURES for rule in RULES]
    print("| pair | " + " | ".join(f"{name}, {rule}" for name, rule in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for (source, target), row in rows.items():
        cells = [f"{row[column][0]:.3f} (C {row[column][1]:.1g})" for column in columns]
        print(f"| {source} to {target} | " + " | ".join(cells) + " |")
    means = [np.mean([row[column][0] for row in rows.values()]) for column in columns]
    print("| mean | " + " | ".join(f"{mean:.4f}" for mean in means) + " |")
    print(f"\n{seconds:.0f} seconds.")
    if runs is not None:
        count = write_runs(runs, {pair: row[SHOWN][0] for pair, row in rows.items()})
        print(f"{count} runs of {ROW} written; compare by: python launch.py report {runs}")


if __name__ == "__main__":
    main()
