"""Residual networks (He 2016), with torchvision's names, so that weights published for ImageNet load."""

from collections.abc import Mapping
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from monoform.errors import InputError

Depth = Literal[18, 34, 50]
BLOCKS: dict[int, tuple[int, int, int, int]] = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}
"""Blocks of the four stages."""
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Of sRGB in [0, 1]: what published weights expect to be taken out."""


class ResNet(nn.Module):
    """An image to its maps at four scales; average the last one for a code.

    depth: 18 or 34 (two 3 x 3 convolutions a block) or 50 (bottlenecks). width: channels of the first stage, 64 in He 2016.
    reduction: how much the stem shrinks the image, 4 (7 x 7 of stride 2, then a pool) or, for small images, 2 (no pool).
    Both stems take the published weights.
    """

    def __init__(self, depth: Depth = 18, width: int = 64, reduction: Literal[2, 4] = 4):
        super().__init__()
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.reduction = reduction
        self.channels = tuple(_block(depth).expansion * width * 2**stage for stage in range(4))
        """Of the four maps."""
        for stage, before in enumerate((width, *self.channels[:-1])):
            self.add_module(f"layer{stage + 1}", _stage(depth, stage, before, width))
        _initialise(self)

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> list[Tensor]:
        """images: sRGB in [0, 1]. Maps (b, channels[i], h / (reduction 2^i), w / (reduction 2^i)), finest first."""
        mean, std = (images.new_tensor(values)[:, None, None] for values in (IMAGENET_MEAN, IMAGENET_STD))
        x = functional.relu(self.bn1(self.conv1((images - mean) / std)))
        if self.reduction == 4:
            x = functional.max_pool2d(x, 3, stride=2, padding=1)
        maps = []
        for stage in range(1, 5):
            x = self.get_submodule(f"layer{stage}")(x)
            maps.append(x)
        return maps


def last_stage(depth: Depth, width: int) -> nn.Sequential:
    """A fourth stage beside a network's own, from its third map to a map (b, channels[3], h, w) of the fourth's size."""
    stage = _stage(depth, 3, _block(depth).expansion * width * 4, width)
    _initialise(stage)
    return stage


def _block(depth: Depth) -> "type[BasicBlock | BottleneckBlock]":
    return BottleneckBlock if depth == 50 else BasicBlock


def _stage(depth: Depth, stage: int, before: int, width: int) -> nn.Sequential:
    """before: channels that come in. width: of the network's first stage."""
    block = _block(depth)
    inner = width * 2**stage
    first = block(before, inner, 1 if stage == 0 else 2)
    return nn.Sequential(first, *(block(block.expansion * inner, inner) for _ in range(BLOCKS[depth][stage] - 1)))


def _initialise(network: nn.Module) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


class BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a short cut."""

    expansion = 1

    def __init__(self, before: int, width: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = _short_cut(before, width, stride)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        return functional.relu(self.bn2(self.conv2(y)) + self.downsample(x))


class BottleneckBlock(nn.Module):
    """A 3 x 3 convolution between two 1 x 1, the last four times as wide, beside a short cut.

    The 3 x 3 has the stride, as in torchvision's weights; He 2016 gives it to the first 1 x 1.
    """

    expansion = 4

    def __init__(self, before: int, width: int, stride: int = 1):
        super().__init__()
        self.conv1 = nn.Conv2d(before, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride=stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = _short_cut(before, 4 * width, stride)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Tensor:
        y = functional.relu(self.bn1(self.conv1(x)))
        y = functional.relu(self.bn2(self.conv2(y)))
        return functional.relu(self.bn3(self.conv3(y)) + self.downsample(x))


def _short_cut(before: int, after: int, stride: int) -> nn.Module:
    if before == after and stride == 1:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(before, after, 1, stride=stride, bias=False), nn.BatchNorm2d(after))


def load_published(network: ResNet, weights: Mapping[str, Tensor]) -> None:
    """Take over a state_dict in torchvision's names, such as `resnet18`'s; its classifier (fc) is left out.

    Raises InputError, and changes nothing, if a name or a shape does not fit.
    """
    own = network.state_dict()
    given = {name: value for name, value in weights.items() if not name.startswith("fc.")}
    # Weights saved before 2018 do not count their batches, and nothing here reads the count.
    needed = {name for name in own if not name.endswith("num_batches_tracked")}
    if needed - given.keys() or given.keys() - own.keys():
        name = min((needed - given.keys()) | (given.keys() - own.keys()))
        raise InputError(f"residual network: {name} is in one of weights and network alone; give weights of its depth")
    for name, value in given.items():
        if value.shape != own[name].shape:
            shapes = f"{tuple(value.shape)} in the weights, {tuple(own[name].shape)} in the network"
            raise InputError(f"residual network: {name} is {shapes}; build the network with width 64 to load them")
    with torch.no_grad():
        for name, value in given.items():
            own[name].copy_(value)
