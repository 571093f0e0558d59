"""A pretrained network on a folder of your own pictures.

    python launch.py train --config=configs/transfer.py:pictures=FOLDER,weights=FILE,model=resnet50
    python launch.py sweep --config=configs/transfer.py:pictures=FOLDER,weights=FILE,model=resnet50

The folder holds a folder of pictures for each class, or `train`, `val` and `test` with such folders
in them. A folder without splits is split at random, by `config.data.split_seed`. Source and target
are this one folder: the network learns from the training pictures, and the target accuracies that
are printed are those of `test`: first of the last step, where `val` chose nothing, and on a line
`source_val` of the step that was best on `val`. The weights are a path or `hf:OWNER/NAME`;
docs/finetuning.md says which files are read. The head of the file is left out, the new one has the
folder's classes. What the file was given for a picture is not in it: vision transformers are taken
for timm's `augreg` or Hugging Face's, whose inputs lie between -1 and 1; torchvision's `vit_b_16`
wants `--config.model.options.input_statistics=imagenet`.

Rows: `linear_probe` trains the head alone, `fine_tune` everything, `lp_ft` one after the other, any
other row of fine-tuning what it says; `train_on_target` begins from nothing and shows what the
weights are worth. With `source=FOLDER` that folder is the source, and every row of domain
adaptation can start from the weights as well.
"""

from configs import base, method_row

# Of each network the side of its pictures, what it was given for a picture, and the policy that has
# its layers of normalisation.
MODELS = {
    **dict.fromkeys([f"cifar_resnet{d}" for d in (20, 32, 44, 56)], (32, "imagenet", "separate")),
    **dict.fromkeys(
        [f"resnet{depth}" for depth in (18, 34, 50, 101)], (224, "imagenet", "separate")
    ),
    "vgg16": (224, "imagenet", "none"),
    **dict.fromkeys(("vit_s16", "vit_b16"), (224, "symmetric", "none")),
}
ROWS = ("train_on_target", "linear_probe", "fine_tune", "lp_ft")
SEEDS = tuple(range(3))


def get_config(argument: str = ""):
    """Returns one run; `argument` names `pictures`, `weights`, `model`, `method` and `source`."""
    arguments = base.parse(
        argument, pictures="", weights="", model="resnet50", method="fine_tune", source=""
    )
    for name, what in (("pictures", "FOLDER"), ("weights", "FILE")):
        if not arguments[name]:
            raise ValueError(
                f"{name} is missing: write --config=configs/transfer.py:pictures=FOLDER,"
                f"weights=FILE,model=NAME; {name} is a {what.lower()}"
            )
    model, method = arguments["model"], arguments["method"]
    if model not in MODELS:
        raise ValueError(f"model is {model!r}; with weights there are {', '.join(MODELS)}")
    size, statistics, policy = MODELS[model]

    config = base.get_config()
    config.experiment = "transfer"
    config.target = f"folder:{arguments['pictures']}"
    config.source = f"folder:{arguments['source'] or arguments['pictures']}"
    config.num_steps = 300
    config.evaluation.every = 50

    config.data.size = size
    config.data.fit = "cover"
    config.data.channels = 3
    config.data.batch_size = 32
    config.data.augment = {"crop": {"pixels": size // 8}, "flip": {"probability": 0.5}}

    config.model.name = model
    config.model.normalization = policy
    config.model.options.input_statistics = statistics
    # The weights are good already, the head is new; the fewer its inputs, the faster.
    config.optimizer.name = "adam"
    config.optimizer.learning_rate = 1e-4
    faster = 100.0 if size == 32 else 10.0
    config.optimizer.groups.head = {"pattern": r"task_head/.*", "learning_rate_factor": faster}
    config.optimizer.schedule = "cosine"
    config.optimizer.warmup = 0.1
    config.optimizer.clip_norm = 1.0

    if method == "train_on_target":
        config.optimizer.learning_rate = 1e-3
        config.optimizer.groups.head.learning_rate_factor = faster / 10
    else:
        config.init_from.weights = arguments["weights"]
    method_row.set_method(config, method)
    # A probe without augmentation passes every picture through the network once.
    if method == "linear_probe":
        config.data.augment = {}
    if config.init_from.method == "linear_probe":
        config.init_from.overrides.update({"data": {"augment": {}}})
    return config


def sweep(add, argument=""):
    """Adds every row with every seed; the split is the same for all of them."""
    for method in ROWS:
        for seed in SEEDS:
            add(f"{argument},method={method}", {"seed": seed, "data.split_seed": 0})
