"""Domain adaptation: the task loss on the source plus alignment terms."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from common.legal import check_keys, check_name
from common.method import Alignment, Method
from common.models.network import make_network
from common.task_kind import OF_CLASSES
from common.training.objective import WeightSchedule, make_objective
from common.training.task_loss import make_task_loss
from dann.alignment.conditional_adversarial import conditional_adversarial
from dann.alignment.coral import coral
from dann.alignment.domain_adversarial import domain_adversarial
from dann.alignment.entropy import entropy
from dann.alignment.fixmatch import fixmatch
from dann.alignment.importance_weighting import importance_weighting
from dann.alignment.information_maximization import information_maximization
from dann.alignment.joint_mmd import joint_mmd
from dann.alignment.margin_disparity import margin_disparity
from dann.alignment.mean_teacher import mean_teacher
from dann.alignment.minimum_class_confusion import minimum_class_confusion
from dann.alignment.mmd import mmd
from dann.alignment.multi_source_adversarial import check_sources, multi_source_adversarial
from dann.alignment.nuclear_norm import nuclear_norm
from dann.alignment.optimal_transport import optimal_transport
from dann.alignment.partial_adversarial import partial_adversarial
from dann.alignment.virtual_adversarial import virtual_adversarial
from dann.methods import adamatch, adapt_batch_norm, mcd, shot, tent
from dann.schedule import SCHEDULES

ALIGNMENTS: dict[str, Callable[[Mapping[str, Any]], Alignment]] = {
    "conditional_adversarial": conditional_adversarial,
    "coral": coral,
    "domain_adversarial": domain_adversarial,
    "entropy": entropy,
    "fixmatch": fixmatch,
    "importance_weighting": importance_weighting,
    "information_maximization": information_maximization,
    "joint_mmd": joint_mmd,
    "margin_disparity": margin_disparity,
    "mean_teacher": mean_teacher,
    "minimum_class_confusion": minimum_class_confusion,
    "mmd": mmd,
    "multi_source_adversarial": multi_source_adversarial,
    "nuclear_norm": nuclear_norm,
    "optimal_transport": optimal_transport,
    "partial_adversarial": partial_adversarial,
    "virtual_adversarial": virtual_adversarial,
}

# Methods that are more than terms: with phases, or with a state that is refreshed.
METHODS: dict[str, Callable[[Mapping[str, Any], int], Method]] = {
    "adamatch": adamatch.make_method,
    "mcd": mcd.make_method,
    "adapt_batch_norm": adapt_batch_norm.make_method,
    "shot": shot.make_method,
    "tent": tent.make_method,
}


# Steepness of the ramp of weights.
GAMMA = 10.0

# Terms and whole methods that read each domain apart, or the target alone, and take no class for as
# frequent as another, so that a target may lack classes of the source.
OF_EACH_DOMAIN = frozenset(
    {
        "adapt_batch_norm",
        "entropy",
        "fixmatch",
        "mean_teacher",
        "minimum_class_confusion",
        "tent",
        "virtual_adversarial",
    }
)


# Those that want every class equally often among the target's predictions. Every other one compares
# whole domains, and has to weigh the source itself where the target lacks classes.
OF_EQUAL_CLASSES = frozenset({"information_maximization", "nuclear_norm", "shot"})


# Terms and whole methods that read features or inputs alone, whatever the labels are. Every other
# one takes the logits for those of classes that exclude each other.
OF_ANY_KIND = frozenset(
    {
        "adapt_batch_norm",
        "coral",
        "domain_adversarial",
        "importance_weighting",
        "mmd",
        "multi_source_adversarial",
    }
)


def check_kind(config: Mapping[str, Any]) -> None:
    """Refuses rows that need classes where the task has none.

    Args:
        config: The resolved config.

    Raises:
        ValueError: A term or a method outside `OF_ANY_KIND`, on labels that are no classes.
    """
    kind = config["task"]["kind"]
    named = [config["method"]] if config["method"] in METHODS else list(config["alignment"])
    for name in named if kind not in OF_CLASSES else ():
        if name in {*ALIGNMENTS, *METHODS} - OF_ANY_KIND:
            raise ValueError(
                f"config.task.kind is {kind!r}, and {name} takes predictions for shares of "
                f"classes; take one of {', '.join(sorted(OF_ANY_KIND))}"
            )
    if kind == "segmentation" and config["alignment"].get("coral", {}).get("on") == "logits":
        raise ValueError(
            "config.task.kind is 'segmentation', whose logits are many an example, and "
            "config.alignment.coral.on is 'logits'; set it to 'features'"
        )


def check_unweighted(config: Mapping[str, Any], name: str, *, is_weighted: bool = False) -> None:
    """Refuses a term or a method that is wrong about a target which lacks classes of the source.

    Args:
        config: The resolved config.
        name: The term, or the whole method.
        is_weighted: Whether it weighs the source's examples itself.

    Raises:
        ValueError: `config.data.target_classes` is set, it compares whole domains or wants equally
            frequent classes, and nobody allowed it.
    """
    kept, is_allowed = config["data"]["target_classes"], config["runtime"]["allow_unweighted"]
    if not kept or is_allowed or is_weighted or name in OF_EACH_DOMAIN:
        return
    harm = f"{name}, which does not weigh the source, would match it with all of the source"
    remedy = "take a row whose terms weigh it themselves, such as pada"
    if name in OF_EQUAL_CLASSES:
        harm = f"{name} wants predictions of all classes of the source, equally often"
        remedy = "take a row that does not, such as mcc"
    raise ValueError(
        f"config.data.target_classes leaves the target {len(kept)} classes, and {harm}: {remedy}, "
        "or set config.runtime.allow_unweighted to True to measure the harm"
    )


def check_plain_labels(config: Mapping[str, Any]) -> None:
    """Refuses options of the shared task loss in a whole method, which has losses of its own.

    Args:
        config: The resolved config.

    Raises:
        ValueError: `config.objective` changes something.
    """
    for name, value in config["objective"].items():
        if value:
            raise ValueError(
                f"config.objective.{name} is {value}, an option of the task loss that terms are "
                f"added to; config.method {config['method']!r} has losses of its own: set it to 0"
            )


def make_terms(
    alignment: Mapping[str, Mapping[str, Any]],
) -> tuple[dict[str, Alignment], dict[str, WeightSchedule]]:
    """Builds the terms of a config, and the schedules of those whose weight is not constant.

    Args:
        alignment: `config.alignment`: each term's own options, and `weight_schedule`, which is not
            read by terms; without it a weight is constant.

    Returns:
        Terms by name, and of some of them the factor of the weight by progress: the ramp of DANN's
        strength, with the paper's steepness.

    Raises:
        ValueError: An unknown term, an option that is unknown, missing or impossible, or a schedule
            of a term that weighs the source's examples.

    References:
        Ganin et al., JMLR 17 (2016), section 5.2.2.
    """
    check_keys("config.alignment", alignment, sorted(ALIGNMENTS))
    terms, schedules = {}, {}
    for name, options in alignment.items():
        own = dict(options)
        schedule = own.pop("weight_schedule", "constant")
        key = f"config.alignment.{name}.weight_schedule"
        check_name(key, schedule, SCHEDULES)
        terms[name] = ALIGNMENTS[name](own)
        if schedule == "constant":
            continue
        if terms[name].source_weight is not None:
            raise ValueError(
                f"{key} is {schedule!r}, but the term weighs the source's examples, by as much at "
                "every step: set it to 'constant'"
            )
        schedules[name] = lambda progress, rise=SCHEDULES[schedule]: rise(progress, GAMMA)
    return terms, schedules


def make_method(config: Mapping[str, Any], num_classes: int) -> Method:
    """Builds the whole method that `config.method` names, or one from `config.alignment`'s terms.

    Args:
        config: The resolved config. Without a term this is plain training on `config.domains`,
            the same program as in `finetune`.
        num_classes: Number of classes of the task, or of its labels or values.

    Returns:
        The method.

    Raises:
        ValueError: An unknown term, model or policy, a term that learns from averaged weights in a
            run that keeps none, one that compares a partial target with all of the source, one that
            is told another number of sources, or one that needs classes where the task has none.
    """
    check_kind(config)
    if config["method"] in METHODS:
        check_unweighted(config, config["method"])
        check_plain_labels(config)
        return METHODS[config["method"]](config, num_classes)
    terms, weight_schedules = make_terms(config["alignment"])
    network = make_network(config["model"], num_classes, config["task"])
    check_sources(config)
    for name, term in terms.items():
        if term.needs_average and not config["optimizer"]["ema_decay"]:
            raise ValueError(
                f"config.optimizer.ema_decay is 0, but the term {name} learns from the average of "
                "the weights; set it between 0 and 1, such as 0.99"
            )
        check_unweighted(config, name, is_weighted=term.source_weight is not None)
    return make_objective(
        *(network, tuple(config["domains"]), terms, "alignment"),
        options=config["objective"],
        task_loss=make_task_loss(config["task"]),
        weight_schedules=weight_schedules,
    )
