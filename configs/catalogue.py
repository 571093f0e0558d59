"""The rows of a comparison: their domains, their options with their defaults, and their papers."""

from typing import Any

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

# The options of every term beside its own.
OF_EVERY_TERM = {
    "weight_schedule": "constant",  # constant | ramp: the weight rises from 0, as a strength does
}

# Of each term with a discriminator of domains, the name of its group of parameters at
# config.optimizer.groups, and the pattern of their paths. They are set alike, so that a row differs
# from DANN in its loss alone.
DISCRIMINATORS = {
    "domain_adversarial": ("discriminator", "domain_discriminator/.*"),
    "partial_adversarial": ("discriminator", "domain_discriminator/.*"),
    "conditional_adversarial": ("conditional_discriminator", "conditional_discriminator/.*"),
    "multi_source_adversarial": ("multi_source_discriminator", "multi_source_discriminator/.*"),
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

FREEZING = {
    "freeze": "none",  # none | all_but_head | last_<k>_stages, which are trained, and the head
    # Share of the run until which stages are frozen, and then are trained one after the other from
    # the head downwards; 0: all from the start
    "unfreeze_until": 0.0,
    "layer_decay": 1.0,  # of the rate, from each stage to the one below it
    "frozen_statistics": "kept",  # kept | updated: of batch normalisations that are frozen
    "cache_features": True,  # of a wholly frozen extractor, without augmentation
}

# Of adapters, which are trained in the place of the kernels that they belong to.
ADAPTERS = {
    "rank": 8,  # of each adapter
    "alpha": 16.0,  # an adapter counts alpha / rank times
    "pattern": ".*",  # full-match pattern of the kernels of the feature extractor that have one
}

# Rows of fine-tuning: labelled target examples alone, from the weights of another run or of a file.
# What stands at config.transfer; the run that they start from unless the config names another.
TRANSFER: dict[str, tuple[dict[str, Any], str]] = {
    "fine_tune": (FREEZING, "source_only"),
    "dann_then_fine_tune": (FREEZING, "dann"),
    "linear_probe": ({**FREEZING, "freeze": "all_but_head"}, "source_only"),
    "lora": ({**FREEZING, **ADAPTERS}, "source_only"),
    "lp_ft": (FREEZING, "linear_probe"),
    "gradual_unfreezing": ({**FREEZING, "unfreeze_until": 0.5}, "source_only"),
    "autoencoder_fine_tune": (FREEZING, "autoencoder"),
}

RECONSTRUCTION = {
    "loss": "mse",  # mse | ssim | mixed
    "ssim_share": 0.5,  # of mixed: the share of 1 - SSIM, the rest is the squared error's
    "window": 11,  # side of SSIM's window: odd, and no larger than the pictures
    "sigma": 1.5,  # of the window's Gaussian weights, in pixels
    "layer": "",  # map that the decoder reads, as stage_0; "": the features
    "channels": 16,  # maps of the decoder
    # Of the input, which the decoder's picture is compared with as it was before:
    "noise": 0.0,  # standard deviation of what is added
    "masking": 0.0,  # share of pixels set to 0
}

# Rows that learn features and no prediction, from pictures alone: what stands at config.transfer.
# config.domains, both by default, may be the source or the target alone.
PRETRAINING: dict[str, dict[str, Any]] = {"autoencoder": {"reconstruction": RECONSTRUCTION}}
PRETRAINING_DOMAINS = (("source", "target"), ("source",), ("target",))

# The options of each regulariser of fine-tuning, at config.regularization; rows join them by "+".
REGULARIZERS: dict[str, dict[str, Any]] = {
    "l2_sp": {
        "weight": 0.1,  # alpha of the paper
        "head_factor": 0.1,  # times the weight: beta, 0.01
        "head": "zero",  # zero | start: where the head is held to
        "parameters": ".*/kernel",  # which of the feature extractor and the head are held
    },
    "delta": {
        "weight": 0.64,  # alpha of the paper, 0.01, times the 64 examples that it sums over
        "head_factor": 0.015625,  # times the weight: beta, 0.01
        "layers": (),  # names of inner activations; (): all that the network names
        "attention": True,  # False: all channels count alike
        "examples": 256,  # that the weights of the channels are computed on
    },
    "bss": {
        "weight": 0.001,
        "number": 1,  # of singular values, the smallest ones
    },
    "co_tuning": {
        "weight": 2.3,
        "temperature": 1.0,  # that calibrates the start's predictions
    },
    "distillation": {
        "weight": 1.0,
        "temperature": 2.0,  # that softens both predictions
    },
}

# Rows that learn from two views of a picture, the second drawn by config.data.strong_augment.
STRONG_VIEWS = ("fixmatch", "mean_teacher", "adamatch")

# Every row of one name.
ROWS = (*PLAIN, *TERMS, *METHODS, *PRETRAINING, *TRANSFER, *REGULARIZERS)

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
    "autoencoder": ("Hinton and Salakhutdinov, Science 2006", "unsupervised"),
    "fine_tune": ("", "target labels"),
    "dann_then_fine_tune": ("", "target labels"),
    "linear_probe": ("Alain and Bengio, Linear Probes, ICLR workshops 2017", "target labels"),
    "lora": ("Hu et al., LoRA, ICLR 2022", "target labels"),
    "lp_ft": ("Kumar et al., Fine-Tuning can Distort, ICLR 2022", "target labels"),
    "gradual_unfreezing": ("Howard and Ruder, ULMFiT, ACL 2018", "target labels"),
    "autoencoder_fine_tune": (
        "Masci et al., Stacked Autoencoders, ICANN 2011",
        "target labels",
    ),
    "l2_sp": ("Xuhong Li et al., Explicit Inductive Bias, ICML 2018", "target labels"),
    "delta": ("Xingjian Li et al., DELTA, ICLR 2019", "target labels"),
    "bss": ("Chen et al., Batch Spectral Shrinkage, NeurIPS 2019", "target labels"),
    "co_tuning": ("You et al., Co-Tuning, NeurIPS 2020", "target labels"),
    "distillation": (
        "Li and Hoiem, Learning without Forgetting, ECCV 2016",
        "target labels",
    ),
}
# The same of rows that are made by joining, by how their names are written.
JOINED = {f"<terms>+{LABELLED}": ("", "semi-supervised")}
# Legal settings of `PAPERS` and `JOINED`.
SETTINGS = (
    *("no target", "unsupervised", "target labels"),
    *("semi-supervised", "source-free", "partial", "several sources"),
)
