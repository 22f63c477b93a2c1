"""The networks of the voxel methods: sizes all along, gradients, and that a small one can learn by heart."""

import pytest
import torch
from torch import nn

from monoform.networks.image_nets import SMALLEST, ImageEncoder
from monoform.networks.voxel_nets import SIDE, VoxelDiscriminator, VoxelEncoder, VoxelGenerator


def sides(network: nn.Module, *inputs: torch.Tensor) -> list[int]:
    """Sides of the maps that the convolutions give, in order."""
    found = []
    for layer in network.modules():
        if isinstance(layer, (nn.Conv3d, nn.ConvTranspose3d, nn.Conv2d)):
            layer.register_forward_hook(lambda _layer, _inputs, output: found.append(output.shape[-1]))
    network(*inputs)
    return found


def test_the_chain_of_sides_is_exact():
    assert sides(VoxelEncoder(6, 2), torch.zeros(2, SIDE, SIDE, SIDE)) == [15, 8, 4, 1]
    assert sides(VoxelGenerator(5, 2), torch.zeros(2, 5)) == [4, 8, 15, 30]
    assert sides(VoxelDiscriminator(2), torch.zeros(2, SIDE, SIDE, SIDE)) == [15, 8, 4, 1]


def test_shapes_of_what_comes_out():
    assert VoxelEncoder(6, 2)(torch.zeros(3, SIDE, SIDE, SIDE)).shape == (3, 6)
    assert VoxelGenerator(5, 2)(torch.zeros(3, 5)).shape == (3, SIDE, SIDE, SIDE)
    verdict, features = VoxelDiscriminator(2)(torch.zeros(3, SIDE, SIDE, SIDE))
    assert verdict.shape == (3,)
    assert features.shape == (3, 4, 8, 8, 8)


def test_channels_at_the_papers_width():
    widths = [
        layer.out_channels for layer in VoxelGenerator(200, 64).modules() if isinstance(layer, nn.ConvTranspose3d)
    ]
    assert widths == [256, 128, 64, 1]


@pytest.mark.parametrize("size", [64, 127, 227])
def test_images_of_any_size_share_the_weights(size):
    encoder = ImageEncoder(7, 2)
    assert encoder(torch.zeros(2, 3, size, size)).shape == (2, 7)
    assert sum(weight.numel() for weight in encoder.parameters()) == sum(
        weight.numel() for weight in ImageEncoder(7, 2).parameters()
    )
    if size == SMALLEST:
        maps = encoder.body(torch.zeros(2, 3, size, size))
        assert [x.shape[-1] for x in maps] == [16, 8, 4, 2]


def test_too_small_an_image_is_refused():
    with pytest.raises(ValueError, match="at least 64"):
        ImageEncoder(7, 2)(torch.zeros(2, 3, 48, 48))


@pytest.mark.parametrize(
    ("network", "given"),
    [
        (lambda: VoxelEncoder(6, 2), (2, SIDE, SIDE, SIDE)),
        (lambda: VoxelGenerator(5, 2), (2, 5)),
        (lambda: VoxelDiscriminator(2), (2, SIDE, SIDE, SIDE)),
        (lambda: ImageEncoder(6, 2), (2, 3, 64, 64)),
    ],
    ids=["encoder", "generator", "discriminator", "image encoder"],
)
def test_every_weight_has_a_gradient(network, given):
    torch.manual_seed(0)
    network = network()
    out = network(torch.rand(given))
    (out[0] if isinstance(out, tuple) else out).square().sum().backward()
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert torch.isfinite(weight.grad).all(), name
        assert weight.grad.any(), name


def test_a_generator_starts_almost_empty_and_learns_shapes_by_heart():
    torch.manual_seed(0)
    generator, codes = VoxelGenerator(8, 4), torch.randn(4, 8)
    assert 0.02 < generator(codes).sigmoid().mean() < 0.1
    truth = torch.zeros(4, SIDE, SIDE, SIDE)
    for i in range(4):
        truth[i, 5 + i : 12 + i, 8 : 20 + i, 3 : 25 - i] = 1
    optimizer = torch.optim.Adam(generator.parameters(), 0.01)
    for _ in range(50):
        loss = nn.functional.binary_cross_entropy_with_logits(generator(codes), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    made = generator(codes) > 0
    assert ((made & (truth > 0)).sum() / (made | (truth > 0)).sum()) > 0.9
