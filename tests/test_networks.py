"""Networks: torchvision's names and sizes, shapes at every size asked for, skips that are seen."""

import pytest
import torch

from monoform.errors import InputError
from monoform.networks.residual import ResNet, last_stage, load_published
from monoform.networks.tube import MaskDecoder, VoxelTube

# Parameters of torchvision's networks less those of their classifiers (fc), which take 1000 classes.
PUBLISHED = {18: 11_689_512 - 513_000, 34: 21_797_672 - 513_000, 50: 25_557_032 - 2_049_000}
ENTRIES = {18: 120, 34: 216, 50: 318}


@pytest.mark.parametrize("depth", [18, 34, 50])
def test_residual_network_is_as_large_as_the_published_one(depth):
    network = ResNet(depth)
    assert sum(p.numel() for p in network.parameters()) == PUBLISHED[depth]
    assert len(network.state_dict()) == ENTRIES[depth]


def test_names_are_those_of_published_weights():
    basic, deep = ResNet(18).state_dict(), ResNet(50).state_dict()
    assert basic["layer2.0.downsample.0.weight"].shape == (128, 64, 1, 1)
    assert basic["layer4.1.bn2.running_var"].shape == (512,)
    assert "layer1.0.downsample.0.weight" not in basic
    assert deep["layer1.0.downsample.0.weight"].shape == (256, 64, 1, 1)
    assert deep["layer3.5.conv3.weight"].shape == (1024, 256, 1, 1)
    assert deep["conv1.weight"].shape == (64, 3, 7, 7)


@pytest.mark.parametrize("depth", [18, 50])
@pytest.mark.parametrize("reduction", [2, 4])
def test_maps_shrink_by_two_a_stage(depth, reduction):
    network = ResNet(depth, width=8, reduction=reduction)
    maps = network(torch.rand(2, 3, 64, 64))
    assert [m.shape[-1] for m in maps] == [64 // reduction // 2**stage for stage in range(4)]
    assert [m.shape[1] for m in maps] == list(network.channels)


@pytest.mark.parametrize("depth", [18, 50])
def test_a_last_stage_takes_the_place_of_the_networks_own(depth):
    network, stage = ResNet(depth, width=8), last_stage(depth, 8)
    third = network(torch.rand(2, 3, 64, 64))[2]
    assert stage(third).shape == network.layer4(third).shape
    assert [x.shape for x in stage.state_dict().values()] == [x.shape for x in network.layer4.state_dict().values()]


def test_published_weights_load_and_give_the_same_maps():
    torch.manual_seed(0)
    given, taker = ResNet(18, width=8), ResNet(18, width=8, reduction=2)
    with torch.no_grad():
        given.bn1.running_mean.uniform_()
    weights = {name: value for name, value in given.state_dict().items() if not name.endswith("num_batches_tracked")}
    load_published(taker, weights | {"fc.weight": torch.zeros(1000, 64), "fc.bias": torch.zeros(1000)})
    taker.reduction = 4
    image = torch.rand(1, 3, 64, 64)
    for a, b in zip(given.eval()(image), taker.eval()(image)):
        torch.testing.assert_close(a, b)


def test_weights_that_do_not_fit_change_nothing():
    network = ResNet(18, width=8)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    for weights, words in (
        (ResNet(18, width=16).state_dict(), "width 64"),
        (ResNet(34, width=8).state_dict(), "depth"),
    ):
        with pytest.raises(InputError, match=words):
            load_published(network, weights)
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name])


@pytest.mark.parametrize("side", [8, 32])
def test_voxel_tube_gives_a_cube_of_logits(side):
    decoder = VoxelTube(10, side, width=4)
    assert decoder(torch.randn(3, 10)).shape == (3, side, side, side)


def test_voxel_tube_is_the_papers_size_at_width_64():
    first = VoxelTube(512, 32, width=64).start[0]
    assert isinstance(first, torch.nn.Linear)
    assert first.out_features == 512 * 4 * 4


def test_sizes_that_cannot_be_doubled_up_to_are_refused():
    with pytest.raises(ValueError, match="power of two"):
        VoxelTube(10, 24)
    with pytest.raises(ValueError, match="48 px"):
        MaskDecoder(10, 48, [8] * 7)
    with pytest.raises(ValueError, match="2 skips"):
        MaskDecoder(10, 48, [8, 8, 8, 8], [4, 4])


def test_mask_decoder_sees_code_and_joined_maps():
    torch.manual_seed(0)
    decoder = MaskDecoder(10, 48, [16, 8, 8, 4], [0, 6, 3])
    code = torch.randn(2, 10, requires_grad=True)
    maps = [torch.randn(2, 6, 16, 16, requires_grad=True), torch.randn(2, 3, 32, 32, requires_grad=True)]
    mask = decoder(code, [None, *maps])
    assert mask.shape == (2, 48, 48)
    mask.square().sum().backward()
    for tensor in (code, *maps):
        assert tensor.grad is not None
        assert (tensor.grad.flatten(1).abs().sum(1) > 0).all()


def test_mask_decoder_without_skips_needs_the_code_alone():
    assert MaskDecoder(10, 24, [8, 8, 4])(torch.randn(2, 10)).shape == (2, 24, 24)
