"""What all stages share: a stage made of functions, its rate, its optimiser, and what it looks at when it validates."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from monoform.interfaces import ImageSet, Update
from monoform.methods.reprojection.config import Config
from monoform.methods.reprojection.inference import Reconstruction

Target = Callable[[Mapping[str, Tensor]], Tensor]
"""Of a batch, the shapes (b, 30, 30, 30) that the generator learns: `rows.aligned` or `rows.posed`."""
Reconstruct = Callable[[nn.ModuleDict, Config, Tensor], Reconstruction]
"""Networks, settings and images (b, 3, s, s) to pose-aware shapes: `inference.decoupled`, `coupled` or `without_pose`."""


@dataclass(frozen=True, eq=False)
class Task:
    """What a stage is made from."""

    config: Config
    networks: nn.ModuleDict
    target: Target
    reconstruct: Reconstruct
    train: ImageSet
    val: ImageSet
    natural: ImageSet | None


@dataclass(frozen=True, eq=False)
class Training:
    """A stage of the training, made of functions."""

    name: str
    steps: int
    networks: dict[str, nn.Module]
    optimizers: dict[str, Optimizer]
    draw: Callable[[np.random.Generator], Mapping[str, Tensor]]
    learn: Callable[[Mapping[str, Tensor], Update], dict[str, float | Tensor]]
    measure: Callable[[], dict[str, float]]
    show: Callable[[], np.ndarray | None]

    def batch(self, rng: np.random.Generator) -> Mapping[str, Tensor]:
        return self.draw(rng)

    def step(self, number: int, batch: Mapping[str, Tensor], update: Update) -> dict[str, float | Tensor]:
        for network in self.networks.values():
            network.train()
        for optimizer in self.optimizers.values():
            _descend(optimizer, number / self.steps)
        return self.learn(batch, update)

    def validate(self) -> dict[str, float]:
        return self.measure()

    def picture(self) -> np.ndarray | None:
        return self.show()


def adam(networks: Iterable[nn.Module], rate: float, *, momentum: float = 0.9) -> Adam:
    """Adam over some networks, knowing the rate it starts from."""
    weights = [weight for network in networks for weight in network.parameters()]
    return Adam([{"params": weights, "lr": rate, "first_rate": rate}], betas=(momentum, 0.999))


def _descend(optimizer: Optimizer, done: float) -> None:
    """The rate falls to a hundredth along a cosine, so that a stage ends settled."""
    for group in optimizer.param_groups:
        group["lr"] = group["first_rate"] * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))


def picked(networks: nn.ModuleDict, *names: str) -> dict[str, nn.Module]:
    """The networks of a stage, by name."""
    return {name: networks[name] for name in names}
