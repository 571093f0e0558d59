"""Six runs of a perceptron in three programs, one of which starts from the runs of another."""

from tests.config import tiny_digits

ROWS = ("source_only", "dann", "fine_tune")


def get_config(argument=""):
    config = tiny_digits.get_config(argument)
    config.experiment = "rows"
    config.num_steps = 20
    config.model.name = "mlp"
    config.model.options = {"hidden": (16,)}
    config.data.augment = {}
    config.runtime.tensorboard = False
    return config


def sweep(add):
    for method in ROWS:
        for seed in range(2):
            add(f"method={method}", {"seed": seed})


def search():
    return {"optimizer.learning_rate": (1e-4, 1e-2, "log")}
