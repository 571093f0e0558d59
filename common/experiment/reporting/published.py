"""Published numbers beside ours, with what we know to be different in how they came about."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from common.experiment.reporting.cell import escape, markdown_table, write_mean, write_percent
from common.experiment.reporting.row import Row


class Publication(NamedTuple):
    """A published table.

    Attributes:
        name: Paper or library, and table.
        remarks: What is different from our runs, or must be known to read its numbers.
    """

    name: str
    remarks: tuple[str, ...]


IMAGES = Publication(
    "Ganin et al., JMLR 17 (2016) 59, table 2",
    (
        "It retrains the last layer as a linear support vector machine before scoring, and says "
        "that this hardly changes its accuracy; ours is scored with the network's own head.",
        "It names no number of steps and shows no spread over runs; ours are the weights after the "
        "last step, averaged over seeds.",
        "It subtracts a mean without saying of which domain, and tells of no limit on gradients; "
        "ours do as data.center and optimizer.clip_norm say in the settings below.",
        "Its equations add the domain losses of source and target; under their mean, our default, "
        "equal strengths are half as strong.",
    ),
)
FIRST_VERSION = Publication(
    "Ganin and Lempitsky, ICML (2015), first version, arXiv 1409.7495",
    (
        "Its numbers for MNIST-M differ from those of the later paper by the same authors; what "
        "changed is not known to us.",
    ),
)
REVIEWS = Publication(
    "Ganin et al., JMLR 17 (2016) 59, table 1, original data",
    (
        "Its hyper-parameters were chosen for each pair by reverse validation: 9 strengths from "
        "0.01 to 1, 50 or 100 hidden units, and for the support vector machine 10 values of C from "
        "1e-5 to 1. C chosen on the source alone is another protocol.",
        "Its networks have one hidden layer of sigmoid units and take one pair of reviews a step, "
        "at a rate of 0.001, with a constant strength that scales the discriminator's own step "
        "too, and stop early by source validation.",
        "It trains on 2,000 labelled reviews of the source and 2,000 unlabelled ones of the "
        "target; its plain network and its support vector machine see none of the target.",
        "It shows no spread over runs, and says that dann is better than source_only with a "
        "probability of superiority of 0.87, and than linear_svm of 0.83.",
    ),
)
LIBRARY = Publication(
    "Transfer Learning Library (DALIB), benchmark Digits",
    (
        "It shows the best epoch, chosen by the target's test labels, which is generous; ours are "
        "the weights after the last step.",
        "It states one number a cell, without a spread over runs.",
    ),
)

MNIST_M = "tfds:mnist>tfds:mnist_m/published"
MNIST_M_ANEW = "tfds:mnist>tfds:mnist_m/generated"
SYNTHETIC_NUMBERS = "tfds:synthetic_digits>tfds:svhn_cropped"
ROWS = ("source_only", "dann", "train_on_target")


def _image_numbers(*values: float) -> dict[str, float]:
    return dict(zip(ROWS, values, strict=False))


# By task, the numbers of each publication by the name of our row.
NUMBERS: dict[str, dict[Publication, dict[str, float]]] = {
    MNIST_M: {
        IMAGES: _image_numbers(0.5225, 0.7666, 0.9596),
        FIRST_VERSION: _image_numbers(0.5749, 0.8149, 0.9891),
    },
    SYNTHETIC_NUMBERS: {IMAGES: _image_numbers(0.8674, 0.9109, 0.9220)},
    "tfds:svhn_cropped>tfds:mnist": {
        IMAGES: _image_numbers(0.5490, 0.7385, 0.9942),
        LIBRARY: _image_numbers(0.741, 0.908),
    },
    "tfds:mnist>tfds:usps": {LIBRARY: _image_numbers(0.821, 0.917)},
    "tfds:usps>tfds:mnist": {LIBRARY: _image_numbers(0.746, 0.952)},
}

NUMBERS[MNIST_M_ANEW] = NUMBERS[MNIST_M]

# Amazon reviews: dann, the plain network, the linear support vector machine.
REVIEW_NUMBERS = {
    ("books", "dvd"): (0.784, 0.790, 0.799),
    ("books", "electronics"): (0.733, 0.747, 0.748),
    ("books", "kitchen"): (0.779, 0.778, 0.769),
    ("dvd", "books"): (0.723, 0.720, 0.743),
    ("dvd", "electronics"): (0.754, 0.732, 0.748),
    ("dvd", "kitchen"): (0.783, 0.778, 0.746),
    ("electronics", "books"): (0.713, 0.709, 0.705),
    ("electronics", "dvd"): (0.738, 0.733, 0.726),
    ("electronics", "kitchen"): (0.854, 0.854, 0.847),
    ("kitchen", "books"): (0.709, 0.708, 0.707),
    ("kitchen", "dvd"): (0.740, 0.739, 0.736),
    ("kitchen", "electronics"): (0.843, 0.841, 0.842),
}
NUMBERS |= {
    f"tfds:amazon_reviews/{source}>tfds:amazon_reviews/{target}": {
        REVIEWS: {"source_only": network, "dann": dann, "linear_svm": machine}
    }
    for (source, target), (dann, network, machine) in REVIEW_NUMBERS.items()
}

# What must be known of one task alone.
TASK_REMARKS = {
    MNIST_M: (
        "The target's training picture i shows the digit of the source's picture i, unless "
        "data.disjoint_halves is true.",
        "The share of the gap that JMLR prints for dann, 52.9 %, contradicts its own accuracies, "
        "which give 55.8 %.",
    ),
    SYNTHETIC_NUMBERS: (
        "The source is a generator of ours after the paper's description, instead of the paper's "
        "about 500,000 pictures, which show numbers of one to three digits.",
    ),
}

TASK_REMARKS[MNIST_M_ANEW] = (
    "Our pictures are not the published ones: they were drawn anew after the same recipe.",
    *TASK_REMARKS[MNIST_M],
)

HEADER = ("row", "seeds", "ours, %", "published, %", "difference, points", "source")


def compare_with_published(task: str, rows: Sequence[Row]) -> dict[str, Any] | None:
    """Puts published numbers beside the rows of a task.

    Args:
        task: The task, such as `tfds:mnist>tfds:mnist_m`.
        rows: Its rows at the last step, as in `summary.json`.

    Returns:
        `rows`, a line for each of our rows and each number published of its method, and for each
        number published of a method that we have no row of; and `remarks`, each `of` a
        publication or the task. None where we know of no published number.
    """
    numbers = NUMBERS.get(task)
    if numbers is None:
        return None
    lines = []
    for row in rows:
        found = [
            (publication.name, own[row["method"]])
            for publication, own in numbers.items()
            if row["method"] in own
        ]
        lines += [_line(row["name"], row, *number) for number in found or [(None, None)]]
    ours = {row["method"] for row in rows}
    lines += [
        _line(name, None, publication.name, value)
        for publication, own in numbers.items()
        for name, value in own.items()
        if name not in ours
    ]
    remarks = [(own.name, remark) for own in numbers for remark in own.remarks]
    remarks += [(task, remark) for remark in TASK_REMARKS.get(task, ())]
    return {"rows": lines, "remarks": [{"of": of, "remark": remark} for of, remark in remarks]}


def _line(name: str, row: Row | None, source: str | None, value: float | None) -> dict[str, Any]:
    """Makes a line of the comparison; what is missing is None."""
    accuracy = row and {key: row["target_accuracy"][key] for key in ("mean", "ci95")}
    difference = accuracy["mean"] - value if accuracy and value is not None else None
    return {
        "row": name,
        "n": row["n"] if row else None,
        "ours": accuracy,
        "published": value,
        "difference": difference,
        "source": source,
    }


def average_of_published(tasks: Iterable[str]) -> dict[str, dict[str, float]]:
    """Averages what was published of all of several tasks.

    Args:
        tasks: The tasks.

    Returns:
        By publication, the mean over the tasks by row. What was not published of every task is
        left out.
    """
    names = list(tasks)
    shared = [set(NUMBERS.get(name, {})) for name in names]
    averages = {}
    for publication in set.intersection(*shared) if shared else ():
        tables = [NUMBERS[name][publication] for name in names]
        rows = [row for row in tables[0] if all(row in table for table in tables)]
        averages[publication.name] = {
            row: sum(table[row] for table in tables) / len(tables) for row in rows
        }
    return dict(sorted(averages.items()))


def write_published(compared: Mapping[str, Any], *, with_remarks: bool = True) -> list[str]:
    """Writes the section of a task's published numbers.

    Args:
        compared: From `compare_with_published`.
        with_remarks: Whether the differences of protocol follow.

    Returns:
        Lines of Markdown.
    """
    cells = [
        (
            line["row"],
            "-" if line["n"] is None else line["n"],
            write_mean(line["ours"]),
            _write_exactly(line["published"]),
            write_percent(line["difference"], "+"),
            line["source"] or "-",
        )
        for line in compared["rows"]
    ]
    lines = ["### Published numbers", *markdown_table(HEADER, cells)]
    return [*lines, *(write_remarks(compared["remarks"]) if with_remarks else ())]


def _write_exactly(value: float | None) -> str:
    """Writes a published share in percent, with the digits that were published."""
    return "-" if value is None else f"{100 * value:.2f}".removesuffix("0")


def write_remarks(remarks: Iterable[Mapping[str, str]]) -> list[str]:
    """Lists what must be known of published numbers, each remark once.

    Args:
        remarks: From `compare_with_published`, of one task or of several.

    Returns:
        Lines of Markdown; none without a remark.
    """
    by_source: dict[str, dict[str, None]] = {}
    for entry in remarks:
        by_source.setdefault(entry["of"], {})[entry["remark"]] = None
    lines = ["What is different in how the published numbers came about:", ""]
    for source, own in by_source.items():
        lines += [f"- {escape(source)}:", *(f"  - {escape(remark)}" for remark in own)]
    return [*lines, ""] if by_source else []
