"""A worker of the speed benchmark: PyTorch. It answers the requests that `speed_adaptax.py` does.

Imports PyTorch and the standard library alone, so that an environment without JAX can run it. The
step is what Adaptax's is: positions drawn an epoch at a time, pictures gathered and scaled on the
device, gradient reversal, the mean of the domain loss over both domains, a schedule for the rate
and one for the strength, no synchronisation but at the end of a round.
"""

from __future__ import annotations

import json
import math
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path[:0] = [str(Path(__file__).resolve().parents[1])]

from benchmarks.speed_case import CASES, EVALUATION_BATCH, NUM_STEPS, Case  # noqa: E402
from benchmarks.torch_network import make_networks  # noqa: E402

# Of `torch.compile`, by the variant's name.
MODES = {"compile": "default", "cuda_graphs": "reduce-overhead"}


class Training:
    """One run that trains as long as it is asked to."""

    def __init__(self, case: Case, precision: str, variant: str):
        """Builds the networks and their optimizer.

        Args:
            case: What to train.
            precision: `float32`, or `bfloat16` by autocasting.
            variant: `eager`, or a key of `MODES`.
        """
        import torch  # pyright: ignore[reportMissingImports]

        self.torch, self.case = torch, case
        torch.manual_seed(0)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        on_gpu = self.device.type == "cuda"
        # As in JAX: products of float32 may go through TensorFloat-32 units.
        torch.set_float32_matmul_precision("high")
        # Channels last suits convolutions of accelerators.
        layout = self.layout = torch.channels_last if on_gpu else torch.contiguous_format
        networks = make_networks(case)
        self.networks: dict[str, Any] = {
            name: own.to(self.device, memory_format=layout) for name, own in networks.items()
        }
        count = case.examples + case.evaluated
        shape = (count, case.channels, case.size, case.size)
        self.images = [
            torch.randint(0, 256, shape, dtype=torch.uint8).to(self.device, memory_format=layout)
            for _ in range(2)
        ]
        self.labels = torch.randint(0, case.classes, (count,)).to(self.device)
        self.order: list[Any] = [torch.empty(0, dtype=torch.int64, device=self.device)] * 2
        self.cast = torch.autocast(
            self.device.type, torch.bfloat16, enabled=precision == "bfloat16"
        )
        self.params = [own for net in self.networks.values() for own in net.parameters()]
        if case.optimizer == "adam":
            self.optimizer = torch.optim.Adam(self.params, case.learning_rate, fused=True)
        else:
            self.optimizer = torch.optim.SGD(
                self.params, case.learning_rate, momentum=0.9, fused=True
            )
        self.average = [own.detach().clone() for own in self.params] if case.ema_decay else []
        self.step = 0
        self.loss, self.forward = make_loss(self.networks, self.cast), self._features
        if variant != "eager":
            self.loss = torch.compile(self.loss, mode=MODES[variant])
            self.forward = torch.compile(self.forward, mode=MODES[variant])

    def _features(self, images):
        with self.cast:
            return self.networks["head"](self.networks["extractor"](images))

    def _draw(self, domain: int) -> Any:
        """Walks a domain in epochs; a batch may span two."""
        order, batch = self.order[domain], self.case.batch
        if len(order) < batch:
            fresh = self.torch.randperm(self.case.examples, device=self.device)
            order = self.torch.cat([order, fresh])
        self.order[domain] = order[batch:]
        return order[:batch]

    def train(self, count: int) -> None:
        """Takes some steps."""
        torch, case = self.torch, self.case
        for net in self.networks.values():
            net.train()
        for _ in range(count):
            progress = self.step / NUM_STEPS
            strength = 2 / (1 + math.exp(-10 * progress)) - 1
            rate = case.learning_rate * ((1 + 10 * progress) ** -0.75 if case.annealed else 1)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            rows = [self._draw(domain) for domain in range(2)]
            images = torch.cat([own[drawn] for own, drawn in zip(self.images, rows, strict=True)])
            strength = torch.tensor(strength, device=self.device)
            images = (images.float() / 255).contiguous(memory_format=self.layout)
            loss = self.loss(images, self.labels[rows[0]], strength)
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            self.optimizer.step()
            if self.average:
                decay = min(case.ema_decay, (1 + self.step) / (10 + self.step))
                params = [own.detach() for own in self.params]
                torch._foreach_lerp_(self.average, params, 1 - decay)
            self.step += 1
        assert math.isfinite(loss.item())

    def evaluate(self) -> None:
        """Passes over the target's test pictures."""
        for net in self.networks.values():
            net.eval()
        with self.torch.no_grad():
            held = self.images[1][self.case.examples :]
            for start in range(0, len(held), EVALUATION_BATCH):
                images = held[start : start + EVALUATION_BATCH].float() / 255
                self.forward(images.contiguous(memory_format=self.layout))
        if self.device.type == "cuda":
            self.torch.cuda.synchronize()

    def about(self) -> dict[str, Any]:
        """Tells what was trained, where, and how much memory that took."""
        on_gpu = self.device.type == "cuda"
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        peak *= 1 if sys.platform == "darwin" else 1024
        return {
            "parameters": sum(own.numel() for own in self.params),
            "peak_memory": self.torch.cuda.max_memory_allocated() if on_gpu else peak,
            "version": f"torch {self.torch.__version__}",
            "platform": self.device.type,
            "device": self.torch.cuda.get_device_name() if on_gpu else "cpu",
        }


def make_loss(networks: dict[str, Any], cast: Any) -> Any:
    """Writes the loss of DANN.

    Args:
        networks: `extractor`, `head` and `discriminator`.
        cast: The context of the passes; losses are computed outside.

    Returns:
        `(images, labels, strength) -> loss`; the first half of the pictures is the source's.
    """
    import torch  # pyright: ignore[reportMissingImports]
    from torch.nn import functional  # pyright: ignore[reportMissingImports]

    class Reverse(torch.autograd.Function):
        @staticmethod
        def forward(ctx, value, strength):
            ctx.save_for_backward(strength)
            return value.view_as(value)

        @staticmethod
        def backward(ctx, *gradients):
            (strength,) = ctx.saved_tensors
            return -strength * gradients[0], None

    def loss(images, labels, strength):
        with cast:
            features = networks["extractor"](images)
        features = features.float()
        with cast:
            logits = networks["head"](features[: len(labels)])
        # The discriminator computes in single precision, as Adaptax's does.
        domain = networks["discriminator"](Reverse.apply(features, strength))[:, 0]
        truth = torch.cat([torch.ones_like(labels), torch.zeros_like(labels)]).float()
        task = functional.cross_entropy(logits.float(), labels)
        return task + functional.binary_cross_entropy_with_logits(domain, truth)

    return loss


def main() -> None:
    """Serves a case."""
    name, precision, variant = sys.argv[1:]
    training, answers = Training(CASES[name], precision, variant), sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        began, answer = time.perf_counter(), {}
        if request["do"] == "train":
            training.train(request["steps"])
        elif request["do"] == "evaluate":
            training.evaluate()
        else:
            answer = training.about()
        answer["seconds"] = time.perf_counter() - began
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    main()
