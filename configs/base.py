"""Every legal key of an experiment, with its default."""

from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder

# Rows without an alignment term, and the domains of their batches.
PLAIN = {
    "source_only": ("source",),
    "statistics_only": ("source", "target"),
    "train_on_target": ("target_labelled",),
    "train_on_both": ("source", "target_labelled"),
}

# Joined to terms by "+", it is no term: labelled target examples stand in the batch too.
LABELLED = "target_labelled"

CONDITIONAL = {
    "weight": 1.0,  # multiplies the whole term
    "strength": 1.0,  # largest factor of the reversed gradient
    "schedule": "ramp",  # ramp | constant
    "gamma": 10.0,  # steepness of the ramp
    "hidden": (1024, 1024),  # the discriminator's hidden layers
    "width": 1024,  # of the random map, where units times classes exceed 4,096
    "entropy_conditioning": False,  # True: examples count more the surer their prediction
    "entropy_gradient": False,  # True: those weights have a gradient, as in the authors' code
}

# The options of each alignment term, by the method's short name.
TERMS = {
    "dann": (
        "domain_adversarial",
        {
            "weight": 1.0,  # multiplies the whole term
            "strength": 1.0,  # largest factor of the reversed gradient
            "schedule": "ramp",  # ramp | constant
            "gamma": 10.0,  # steepness of the ramp
            "scale_discriminator": False,  # True: Algorithm 1, the strength scales D's update too
            "domain_reduction": "mean",  # mean | sum of the two domains' losses
            "hidden": (256, 256),  # the discriminator's hidden layers
            "kernel_init": "lecun_normal",  # lecun_normal | glorot_uniform | zeros
        },
    ),
    "cdan": ("conditional_adversarial", CONDITIONAL),
    "cdane": ("conditional_adversarial", {**CONDITIONAL, "entropy_conditioning": True}),
    "pada": (
        "partial_adversarial",
        {
            "weight": 1.0,  # multiplies the whole term
            "strength": 1.0,  # largest factor of the reversed gradient
            "schedule": "ramp",  # ramp | constant
            "gamma": 10.0,  # steepness of the ramp
            "hidden": (256, 256),  # the discriminator's hidden layers
            "refresh_every": 500,  # steps between two estimates of the classes' weights
        },
    ),
    "multi_source_dann": (
        "multi_source_adversarial",
        {
            "weight": 1.0,  # multiplies the whole term
            "num_sources": 1,  # how many domains config.source names
            "strength": 1.0,  # largest factor of the reversed gradient
            "schedule": "ramp",  # ramp | constant
            "gamma": 10.0,  # steepness of the ramp
            "hidden": (256, 256),  # the discriminator's hidden layers
        },
    ),
    "mdd": (
        "margin_disparity",
        {
            "weight": 1.0,  # multiplies the whole term
            "margin_factor": 4.0,  # of the agreement on the source
            "strength": 0.1,  # largest factor of the reversed gradient
            "schedule": "ramp",  # ramp | constant
            "gamma": 10.0,  # steepness of the ramp; the authors': number of steps / 1000
            "hidden": (1024,),  # the adversarial head's hidden layers
        },
    ),
    "virtual_adversarial": (
        "virtual_adversarial",
        {
            "weight": 0.01,  # of the target
            "source_factor": 100.0,  # times the weight: that of the source
            "radius": 3.5,  # length of the change of a picture, over all of its values
        },
    ),
    "mcc": ("minimum_class_confusion", {"weight": 1.0, "temperature": 2.5}),
    "entropy": ("entropy", {"weight": 0.1}),
    "information_maximization": ("information_maximization", {"weight": 1.0}),
    "nuclear_norm": ("nuclear_norm", {"weight": 1.0}),
    "coral": ("coral", {"weight": 1.0, "on": "logits"}),  # on: logits | features
    "mmd": ("mmd", {"weight": 1.0}),
    "joint_mmd": ("joint_mmd", {"weight": 1.0}),
    # threshold: of the largest probability, above which a prediction is a label
    "fixmatch": ("fixmatch", {"weight": 1.0, "threshold": 0.9}),
    # The teacher is the average that config.optimizer.ema_decay keeps: 0.99 in the paper.
    "mean_teacher": ("mean_teacher", {"weight": 3.0, "threshold": 0.968}),
    "importance_weighting": (
        "importance_weighting",
        {
            "weight": 1.0,  # 0: plain training; 1: the source's loss is fully weighted
            "estimator": "classifier",  # classifier | kernel_mean_matching
            "on": "inputs",  # inputs | features
            "penalty": 0.01,  # of the classifier's squared weights
            "bound": 1000.0,  # largest matched weight
            "iterations": 1000,  # of either estimator
            "refresh_every": 0,  # steps between two estimates; 0: before step 0 alone
        },
    ),
    "optimal_transport": (
        "optimal_transport",
        {
            "weight": 1.0,  # multiplies the whole term
            "feature_factor": 1e-3,  # of the squared distance of features in the cost
            "label_factor": 1e-4,  # of the cross-entropy of predictions in the cost
            "regularization": 0.02,  # of the plan's entropy, as a share of the mean cost
            "iterations": 100,  # of the plan's solver
        },
    ),
}

# Whole methods, with phases or a state of their own: the domains of their batches, and the options
# that stand at config.adaptation.
METHODS: dict[str, tuple[tuple[str, ...], dict[str, Any]]] = {
    # threshold: of the largest probability, times the mean of the source's
    "adamatch": (("source", "target"), {"weight": 1.0, "threshold": 0.9}),
    "mcd": (
        ("source", "target"),
        {
            "weight": 1.0,  # of the discrepancy of the two heads
            "feature_steps": 4,  # updates of the features by it in a training step
        },
    ),
    "adapt_batch_norm": (("target",), {}),
    "shot": (
        ("target",),
        {
            "pseudo_label_weight": 0.3,  # of the cross-entropy with the pseudo-labels; digits: 0.1
            "refresh_every": 20,  # steps between two of them; the authors': an epoch
        },
    ),
    "tent": (("target",), {}),
}

# Rows that learn from two views of a picture, the second drawn by config.data.strong_augment.
STRONG_VIEWS = ("fixmatch", "mean_teacher", "adamatch")

# Of every row the paper, and what it takes of the target.
PAPERS = {
    "source_only": ("", "no target"),
    "statistics_only": ("", "unsupervised"),
    "train_on_target": ("", "target labels"),
    "train_on_both": ("", "target labels"),
    "dann": ("Ganin et al., Domain-Adversarial Training, JMLR 2016", "unsupervised"),
    "cdan": ("Long et al., Conditional Adversarial DA, NeurIPS 2018", "unsupervised"),
    "cdane": ("Long et al., Conditional Adversarial DA, NeurIPS 2018", "unsupervised"),
    "multi_source_dann": ("after Ganin et al., DANN, JMLR 2016", "several sources"),
    "mdd": ("Zhang et al., Bridging Theory and Algorithm, ICML 2019", "unsupervised"),
    "virtual_adversarial": ("Shu et al., DIRT-T (VADA), ICLR 2018", "unsupervised"),
    "mcc": ("Jin et al., Minimum Class Confusion, ECCV 2020", "unsupervised"),
    "entropy": ("Grandvalet and Bengio, Entropy Minimization, NIPS 2004", "unsupervised"),
    "information_maximization": ("Liang et al., SHOT, ICML 2020", "unsupervised"),
    "nuclear_norm": ("Cui et al., Batch Nuclear-norm Maximization, CVPR 2020", "unsupervised"),
    "coral": ("Sun and Saenko, Deep CORAL, ECCV workshops 2016", "unsupervised"),
    "mmd": ("Long et al., Deep Adaptation Networks, ICML 2015", "unsupervised"),
    "joint_mmd": ("Long et al., Joint Adaptation Networks, ICML 2017", "unsupervised"),
    "fixmatch": ("Sohn et al., FixMatch, NeurIPS 2020", "unsupervised"),
    "mean_teacher": ("French et al., Self-ensembling for Visual DA, ICLR 2018", "unsupervised"),
    "optimal_transport": ("Damodaran et al., DeepJDOT, ECCV 2018", "unsupervised"),
    "importance_weighting": ("Huang et al., Correcting Selection Bias, NIPS 2006", "unsupervised"),
    "pada": ("Cao et al., Partial Adversarial DA, ECCV 2018", "partial"),
    "adamatch": ("Berthelot et al., AdaMatch, ICLR 2022", "unsupervised"),
    "mcd": ("Saito et al., Maximum Classifier Discrepancy, CVPR 2018", "unsupervised"),
    "adapt_batch_norm": (
        "Li et al., AdaBN, ICLR workshops 2017",
        "source-free",
    ),
    "shot": ("Liang et al., SHOT, ICML 2020", "source-free"),
    "tent": ("Wang et al., Tent, ICLR 2021", "source-free"),
}
# Legal settings of `PAPERS`.
SETTINGS = (
    *("no target", "unsupervised", "target labels"),
    *("semi-supervised", "source-free", "partial", "several sources"),
)
# Domains whose labels a batch holds.
WITH_LABELS = ("source", "target_labelled")


def get_config() -> Any:
    """Returns the defaults; every other config changes some of these keys."""
    config = ConfigDict()
    config.experiment = "experiment"  # folder below the work folder
    config.package = "finetune"  # finetune | dann: who builds the method
    config.method = "source_only"  # name of the row in tables
    config.seed = 0  # initial weights, batches and, unless set below, the split
    # Embedded: synthetic_digits | digits | moons | rotated_moons. From files: folder:<path>,
    # svmlight:<path>, npz:<path>, and tfds:<name>[/<config>] for what `launch.py prepare` made.
    # Several sources are joined by "+"
    config.source = "synthetic_digits"
    config.target = "digits"
    config.domains = ("source",)  # domains of a batch: source, target, target_labelled
    config.num_steps = 2000

    config.model = ConfigDict()
    # cnn | lenet | mlp | svhn_net | cifar_resnet20, 32, 44, 56 | resnet18, 34, 50, 101 | vgg16 |
    # vit_s16 | vit_b16
    config.model.name = "cnn"
    config.model.normalization = "group"  # joint | separate | per_domain | frozen | group | none
    config.model.dtype = (
        "float32"  # float32 | bfloat16: what layers compute in; the rest is float32
    )
    config.model.remat = False  # True: compute stages again in the backward pass, to save memory
    config.model.options = ConfigDict()  # attributes of the feature extractor
    config.model.task_head = ConfigDict()  # attributes of the task head

    config.alignment = ConfigDict()  # terms by name, see TERMS
    config.adaptation = ConfigDict()  # options of a whole method, see METHODS

    config.optimizer = ConfigDict()
    config.optimizer.name = "adam"  # sgd | adam | adamw
    config.optimizer.learning_rate = 1e-3
    config.optimizer.momentum = 0.9  # of sgd
    config.optimizer.betas = (0.9, 0.999)  # of adam and adamw
    config.optimizer.epsilon = 1e-8
    config.optimizer.weight_decay = 0.0
    config.optimizer.decay = r".*/kernel"  # which parameters decay; "" for none
    config.optimizer.schedule = "constant"  # constant | inverse_power | cosine
    config.optimizer.gamma = 10.0  # of inverse_power
    config.optimizer.power = 0.75  # of inverse_power
    config.optimizer.warmup = 0.0  # share of the run over which the rate rises from 0
    config.optimizer.clip_norm = 0.0  # largest gradient norm of each parameter root; 0 for none
    # Largest norm of each unit's incoming weights, by projection after every update; 0 for none
    config.optimizer.max_norm = 0.0
    config.optimizer.max_norm_pattern = r"(feature_extractor|task_head)/.*kernel"  # what it limits
    config.optimizer.freeze = ()  # full-match patterns of parameters that stay as they are
    config.optimizer.groups = ConfigDict()  # {name: {pattern, learning_rate_factor}}
    # Average of the weights, used in evaluation, with a shorter memory in the first steps; 0: none
    config.optimizer.ema_decay = 0.0

    config.data = ConfigDict()
    config.data.batch_size = 64  # examples of each domain in a step
    config.data.batch_sizes = ConfigDict()  # {domain: examples}, where a domain has another number
    config.data.split_seed = placeholder(int)  # None: the run's seed
    config.data.transductive = False  # True: train on the target's test pictures too
    config.data.center = "none"  # source: subtract the mean of the source's training inputs
    # none, or binary | log | tf_idf | unit_length | standardize joined by "+": steps that inputs go
    # through, fitted on the source's training rows
    config.data.scaling = "none"
    # Labelled examples of each class that rows with target_labelled have; 0: the whole training
    # split's. A step sees 16 of them, each class equally often, unless batch_sizes says otherwise
    config.data.target_labels_per_class = 0
    config.data.augment = ConfigDict()  # {name: options}, see docs/data.md; every row alike
    config.data.strong_augment = ConfigDict()  # for methods that need strong_image
    # Domains that are read from files:
    config.data.size = 0  # height and width of pictures; 0: as they are
    config.data.fit = "resize"  # resize | cover | center: how a picture of another size gets there
    config.data.channels = 0  # 1: grey, 3: colour; 0: as they are
    config.data.skip_bad = False  # True: leave out files that are no pictures
    config.data.num_features = 0  # length of svmlight vectors; 0: one more than the largest index
    config.data.source_splits = ConfigDict({"train": "", "val": "", "test": ""})  # of tfds domains,
    config.data.target_splits = ConfigDict({"train": "", "val": "", "test": ""})  # as train[:5000]
    config.data.test_share = 0.2  # of the training split, where no test split is published
    config.data.val_share = 0.1  # of the training split, where no val split is published
    config.data.disjoint_halves = False  # True: source and target train on other rows of the order
    config.data.classes = ()  # names of the task's classes, in order; (): the source's
    # Names of the classes that the target is left with, picked by label; (): all of the task's
    config.data.target_classes = ()
    config.data.rename_classes = ConfigDict()  # {name in either domain: name in the task}
    # 7,000 pictures rendered from `seed`, drawn evenly from ten classes; the rest is the test split
    config.data.synthetic_digits = ConfigDict(
        {"per_class": 700, "seed": 0, "preparation": "plain", "train": 5000, "val": 1000}
    )
    config.data.digits = ConfigDict({"train": 900, "val": 250})  # of 1,797
    # Every split is a draw of its own from `seed`, turned by `angle` degrees; None: the split seed
    plane = {"train": 300, "val": 200, "test": 1000, "noise": 0.05}
    config.data.moons = ConfigDict({**plane, "angle": 0.0, "seed": placeholder(int)})
    config.data.rotated_moons = ConfigDict({**plane, "angle": 35.0, "seed": placeholder(int)})

    config.init_from = ConfigDict()
    config.init_from.run = ""  # folder of a finished run to start from; or, instead of one,
    config.init_from.method = ""  # a row, such as source_only, that is trained first with this
    # config but for what this changes: {dotted key: value}, as {"optimizer.weight_decay": 1e-3} or
    # nested
    config.init_from.overrides = ConfigDict(allow_dotted_keys=True)
    config.init_from.include = ".*"  # full-match pattern of the parameters to take over
    config.init_from.selection = "last"  # last | source_val | …: which of the run's weights

    config.evaluation = ConfigDict()
    config.evaluation.every = 200  # steps
    # True: train back from the target's predicted labels too, and score by the source's accuracy
    config.evaluation.reverse_validation = False
    # True: also score a linear support vector machine in the place of the last layer
    config.evaluation.retrained_head = False

    config.runtime = ConfigDict()  # nothing below changes what a run is
    config.runtime.workdir = "runs"
    config.runtime.data_dir = ""  # prepared data sets; "": TFDS_DATA_DIR or ~/tensorflow_datasets
    config.runtime.log_every = 100  # steps in one dispatch, averaged into one record
    config.runtime.checkpoint_every = 500  # steps
    config.runtime.evaluation_batch_size = 512
    config.runtime.devices = 0  # 0: all; of a processor's cores one for a lone run
    config.runtime.parallel = "jit"  # jit | pmap: how a lone run splits its batch over devices
    config.runtime.data_path = "auto"  # auto | resident | streamed: pictures on the device or read
    config.runtime.resident_bytes = 2**31  # auto streams domains whose pictures take more
    config.runtime.stream_bytes = 2**28  # pictures read ahead at a time, at most
    config.runtime.stream_threads = 8
    config.runtime.tensorboard = True
    config.runtime.progress = True
    # True: rows without class weights may be trained on a target with data.target_classes
    config.runtime.allow_unweighted = False
    # True: go on from a checkpoint of other package versions; bits may differ, result.json says so
    config.runtime.allow_other_versions = False
    return config


def set_method(config: Any, method: str) -> Any:
    """Turns a config into one row of a comparison.

    Args:
        config: Any config; changed in place.
        method: A name of `PLAIN` or `METHODS`, or names of `TERMS` joined by `+`, after which
            `+target_labelled` lets the row train on labelled target examples too.

    Returns:
        The same config.

    Raises:
        ValueError: An unknown name, one that stands there twice, or a whole method among terms.
    """
    config.method = method
    config.alignment, config.adaptation = ConfigDict(), ConfigDict()
    if method in PLAIN:
        config.package, config.domains = "finetune", PLAIN[method]
        return config
    if method in METHODS:
        config.package = "dann"
        config.domains, config.adaptation = METHODS[method][0], ConfigDict(METHODS[method][1])
        if not set(WITH_LABELS) & set(config.domains) and not config.init_from.run:
            # Classes are learned before, from the source, which this row no longer sees.
            config.init_from.method = config.init_from.method or "source_only"
        return config
    config.package, config.domains = "dann", _domains_of(method)
    names = _split_row(method)
    for name in names:
        if name in METHODS:
            raise ValueError(
                f"method is {method!r}; {name!r} is a whole method, to which no term is added: "
                f"take {name!r} alone, or join some of {', '.join(TERMS)}"
            )
        if name not in TERMS:
            raise ValueError(
                f"method is {method!r}; {'' if name == LABELLED else _nearest(name)}legal are "
                f"{', '.join((*PLAIN, *METHODS))}, and {', '.join(TERMS)} joined by '+', with "
                f"'+{LABELLED}' at the end for labelled target examples"
            )
        if names.count(name) > 1:
            raise ValueError(f"method is {method!r}; it must name {name!r} once")
        term, options = TERMS[name]
        if term in config.alignment:
            raise ValueError(f"method is {method!r}; it must name one row of the term {term!r}")
        config.alignment[term] = ConfigDict(options)
    return config


def needs_strong_views(method: str) -> bool:
    """Says whether a row needs `config.data.strong_augment`.

    Args:
        method: A name as for `set_method`.

    Returns:
        True where one of its terms, or the whole method, is in `STRONG_VIEWS`.
    """
    return any(name in STRONG_VIEWS for name in method.split("+"))


def _split_row(method: str) -> list[str]:
    """Returns the terms that a row's name joins."""
    return method.removesuffix(f"+{LABELLED}").split("+")


def _domains_of(method: str) -> tuple[str, ...]:
    """Returns the domains in the batch of a row of terms."""
    return ("source", "target", *[LABELLED] * method.endswith(f"+{LABELLED}"))


def _nearest(name: str) -> str:
    """Suggests the row that shares most pairs of letters with a name."""

    def pairs(text):
        return {text[index : index + 2] for index in range(len(text) - 1)}

    near = max((*PLAIN, *METHODS, *TERMS, LABELLED), key=lambda row: len(pairs(row) & pairs(name)))
    return f"did you mean {near!r}? " if pairs(near) & pairs(name) else ""


def check_method(config: Any) -> None:
    """Refuses a row whose name is not what it does.

    Args:
        config: Any config.

    Raises:
        ValueError: `config.method` was changed without what it stands for.
    """
    if config.method in PLAIN:
        is_true = (config.package, config.domains) == ("finetune", PLAIN[config.method])
    elif config.method in METHODS:
        domains, options = METHODS[config.method]
        is_true = (config.package, config.domains) == ("dann", domains)
        is_true = is_true and set(config.adaptation) == set(options)
    else:
        terms = {TERMS[name][0] for name in _split_row(config.method) if name in TERMS}
        is_true = config.package == "dann" and terms == set(config.alignment)
        is_true = is_true and tuple(config.domains) == _domains_of(config.method)
    if not is_true:
        raise ValueError(
            f"config.method is {config.method!r}, the name of another row than this config's; "
            "choose a row by --config=FILE:method=NAME"
        )


def parse(argument: str, **defaults: str) -> dict[str, str]:
    """Reads the text behind the colon of `--config=file.py:key=value,key=value`.

    Args:
        argument: The text.
        **defaults: Every legal key and its default.

    Returns:
        Values by key.

    Raises:
        ValueError: Text that is no `key=value`, or an unknown key.
    """
    values = dict(defaults)
    for part in filter(None, argument.split(",")):
        key, separator, value = part.partition("=")
        if not separator or key not in defaults:
            raise ValueError(
                f"{part!r} is no argument of this config; write "
                + ",".join(f"{name}={default}" for name, default in defaults.items())
            )
        values[key] = value
    return values
