"""Batches for Zhu 2017's systems: rows that are mirrored whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from monoform.interfaces import ImageSet
from monoform.methods.image_tensors import area_mean
from monoform.methods.reprojection import rows
from test_reprojection import images_of

COUNT = 200


@pytest.fixture(scope="module")
def images() -> ImageSet:
    """Twelve in which left and right differ in every part, voxels too."""
    found = images_of(12, 0)
    voxels = found.voxels.copy()
    voxels[:, :, :, :8] = False
    return replace(found, voxels=voxels)


def matches(batch: dict[str, torch.Tensor], row: int, wanted: dict[str, torch.Tensor]) -> list[int]:
    """The rows that equal one of the batch in every part."""
    same = [(wanted[name] == x[row]).flatten(1).all(1) for name, x in batch.items()]
    return torch.stack(same).all(0).nonzero()[:, 0].tolist()


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, 0, 0), (0.3, 0.2, 0.4), (1.0, 1, 1)])
def test_a_share_of_the_drawn_rows_is_mirrored_in_every_part(
    images: ImageSet, share: float, low: float, high: float
) -> None:
    plain = rows.pick_rendered(images, np.arange(12))
    twins = rows.mirror(plain)
    batch = rows.draw(images, COUNT, np.random.default_rng(0), share)
    assert batch.keys() == plain.keys()
    found = [(matches(batch, row, plain), matches(batch, row, twins)) for row in range(COUNT)]
    assert all(len(as_is) + len(mirrored) == 1 for as_is, mirrored in found)
    assert low <= sum(len(mirrored) for _, mirrored in found) / COUNT <= high
    assert {(as_is + mirrored)[0] for as_is, mirrored in found} == set(range(12)), "all rows are drawn"


def test_left_and_right_change_places_in_every_part(images: ImageSet) -> None:
    """Each part for itself: a part that was left as it is, or turned upside down, would differ."""
    plain = rows.pick_rendered(images, np.arange(12))
    twin = rows.mirror(plain)
    for name in ("image", "mask", "voxels"):
        np.testing.assert_array_equal(twin[name].numpy(), plain[name].numpy()[..., ::-1])
        assert not torch.equal(twin[name], plain[name])
    swap = np.diag([-1.0, 1.0, 1.0])
    np.testing.assert_allclose(twin["R"].numpy(), swap @ plain["R"].numpy() @ swap, atol=1e-7)
    np.testing.assert_allclose(twin["t"].numpy(), plain["t"].numpy() @ swap, atol=1e-7)
    painted = area_mean((twin["image"][:, 0].numpy() * 255 - 40) * 2 / 255, rows.SIDE)
    np.testing.assert_allclose(painted, twin["mask"].numpy(), atol=0.01)
