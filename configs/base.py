"""Every legal key of an experiment, with its default."""

from typing import Any

from ml_collections import ConfigDict
from ml_collections.config_dict import placeholder


def get_config() -> Any:
    """Returns the defaults; every other config changes some of these keys."""
    config = ConfigDict()
    config.experiment = "experiment"  # folder below the work folder
    config.package = "finetune"  # finetune | dann: who builds the method
    config.method = "source_only"  # name of the row in tables
    config.seed = 0  # initial weights, batches and, unless set below, the split
    # Embedded: synthetic_digits | digits | moons | rotated_moons. From files: folder:<path>,
    # svmlight:<path>, npz:<path>, csv:<path> (texts), and tfds:<name>[/<config>] for what
    # `launch.py prepare` made. Several sources are joined by "+"
    config.source = "synthetic_digits"
    config.target = "digits"
    config.domains = ("source",)  # domains of a batch: source, target, target_labelled
    config.num_steps = 2000

    # What a label is: multi_class | binary (one unit for two classes) | multi_label | regression |
    # multi_task (several heads) | segmentation (a class at every pixel)
    config.task = ConfigDict({"kind": "multi_class"})
    config.task.regression_loss = "mse"  # mse | huber
    config.task.huber_delta = 1.0  # error up to which huber counts the square
    # Of multi_task: {name: {kind, columns, weight, num_classes}}, see docs/tasks.md
    config.task.heads = ConfigDict()
    config.task.layer = ""  # of segmentation: the extractor's map that the head reads, as stage_1

    config.model = ConfigDict()
    # cnn | lenet | mlp | svhn_net | cifar_resnet20, 32, 44, 56 | resnet18, 34, 50, 101 | vgg16 |
    # vit_s16 | vit_b16; of texts text_transformer | lstm
    config.model.name = "cnn"
    config.model.normalization = "group"  # joint | separate | per_domain | frozen | group | none
    config.model.dtype = (
        "float32"  # float32 | bfloat16: what layers compute in; the rest is float32
    )
    config.model.remat = False  # True: compute stages again in the backward pass, to save memory
    config.model.options = ConfigDict()  # attributes of the feature extractor
    config.model.task_head = ConfigDict()  # attributes of the task head

    config.alignment = ConfigDict()  # terms by name, see TERMS of catalogue.py
    config.adaptation = ConfigDict()  # options of a whole method, see METHODS
    config.transfer = ConfigDict()  # of rows of fine-tuning, see TRANSFER
    config.regularization = ConfigDict()  # of them too: terms by name, see REGULARIZERS

    config.objective = ConfigDict()  # what becomes of labels and labelled pictures; 0: nothing
    config.objective.label_smoothing = 0.0  # share of each label that all classes get alike
    config.objective.mixup = 0.0  # alpha of the Beta distribution of the shares of two pictures

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
    # Labelled examples, the target's where there are some, are cut into `folds`, of which number
    # `fold` is held out and scored; `sweep --cross_validation=K` trains all K. None: none is
    config.data.folds = 0
    config.data.fold = placeholder(int)
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
    # Texts: names of their columns; how many numbers words have, with those of padding and of
    # unknown words; how many tokens of a text are read
    config.data.text_column = "text"
    config.data.label_column = "label"
    config.data.vocabulary_size = 10_000  # fitted on the source's training texts alone
    config.data.max_tokens = 128
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
    # File of pretrained weights that the run, or the first of those trained before it, starts from:
    # a path or hf:<owner>/<name>[@<revision>][:<file>], see docs/finetuning.md
    config.init_from.weights = ""
    config.init_from.sha256 = ""  # hash that the file must have; "": any
    config.init_from.layout = ""  # whose names it uses: adaptax | torchvision | …; "": found out
    config.init_from.head = False  # True: take its head too, whose classes are then the task's

    config.evaluation = ConfigDict()
    config.evaluation.every = 200  # steps
    # Stop once so many evaluations came after the one that a rule chooses; 0: never
    config.evaluation.patience = 0
    config.evaluation.stop_by = "source_val"  # that rule, see docs/selection.md
    # Rules whose chosen weights a run keeps, beside the last ones; of every other rule it keeps the
    # step and what was measured there
    config.evaluation.keep = ("source_val", "information_maximization")
    config.evaluation.scores = ()  # label-free scores that every evaluation computes; (): all
    config.evaluation.score_examples = 500  # of each split, at most, that they see; 0: no scores
    # Beyond these bounds an evaluation is flagged, and no guarded rule chooses it; 0 switches one
    # off
    config.evaluation.guard = ConfigDict()
    # Entropy of the classes predicted on the target, at least, times that of the source's classes
    config.evaluation.guard.diversity = 0.75
    config.evaluation.guard.source_floor = 0.8  # source accuracy, at least, times the best so far
    config.evaluation.guard.domain_accuracy = 0.99  # of a discriminator, at most
    config.evaluation.guard.outrun_accuracy = 0.45  # of it at least, but for a share of the run of
    config.evaluation.guard.outrun_share = 0.05
    config.evaluation.guard.loss_factor = 10.0  # times the first training loss, at most
    config.evaluation.guard.averaging_gap = 0.3  # share that averaged and raw weights see otherwise
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
    # Several processes train one run: HOST:PORT of the first one, or auto where SLURM, Open MPI,
    # Kubernetes or a TPU pod tells; "": this process is on its own
    config.runtime.coordinator = ""
    config.runtime.num_processes = 0  # how many there are; not under auto
    config.runtime.process = 0  # which of them this is, from 0; not under auto
    config.runtime.parallel = "jit"  # jit | pmap: how a lone run splits its batch over devices
    config.runtime.data_path = "auto"  # auto | resident | streamed: pictures on the device or read
    config.runtime.resident_bytes = 2**31  # auto streams domains whose pictures take more
    config.runtime.stream_bytes = 2**28  # pictures read ahead at a time, at most
    config.runtime.stream_threads = 8
    # Memory that a sweep packs populations for; 0: what is free on the host or the accelerator
    config.runtime.memory_bytes = 0
    # Folder of compiled programs, which later starts use again; "": the user's cache folder; or off
    config.runtime.compilation_cache = ""
    config.runtime.tensorboard = True
    config.runtime.progress = True
    # True: terms that do not weigh the source may be trained on a target with data.target_classes
    config.runtime.allow_unweighted = False
    # True: go on from a checkpoint of other package versions; bits may differ, result.json says so
    config.runtime.allow_other_versions = False
    return config


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
