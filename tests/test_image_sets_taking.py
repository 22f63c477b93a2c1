"""Image sets taken from sources: crops carry their masks and poses along, and a source must have what is asked of it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data_cases import TinySet, damaged, shape
from image_set_cases import iou, same, silhouette
from monoform.data.bad_items import TooManyBadError
from monoform.data.image_sets import from_source, load_images, natural_from, save_images
from monoform.data.readers.models import open_models
from monoform.data.samples import Sample
from monoform.errors import InputError
from monoform.voxels import voxelise_shell


def _hide(found: Sample) -> Sample:
    return replace(found, item=replace(found.item, flags=frozenset({"occluded"})))


def test_natural_crops_are_centred_and_filled():
    source = TinySet(shapes=4, views=2)
    images = natural_from(source, 40)
    assert len(images) == 8
    assert images.voxels.shape == (4, 0, 0, 0)
    assert images.voxel_kind == ""
    assert np.isnan(images.R).all()
    assert np.isnan(images.t).all()
    assert np.isnan(images.K).all()
    for mask in images.masks:
        rows, columns = np.nonzero(mask >= 128)
        low, high = np.array([rows.min(), columns.min()]), np.array([rows.max(), columns.max()]) + 1
        assert (high - low).max() == pytest.approx(32, abs=2)
        np.testing.assert_allclose(low + high, 40, atol=2)
    assert len(natural_from(source, 40, without=("difficult",))) == 4
    with pytest.raises(InputError, match="no item is left"):
        natural_from(TinySet(shapes=1, views=1, change={0: _hide}), 40)


def test_natural_sets_are_saved_too(tmp_path):
    images = natural_from(TinySet(), 24)
    save_images(images, tmp_path / "set")
    found = load_images(tmp_path / "set")
    assert same(images, found)
    assert found.voxels.shape == (3, 0, 0, 0)


@pytest.mark.parametrize(("size", "fill"), [(48, None), (32, None), (64, 0.7), (32, 0.5)])
def test_poses_of_a_source_follow_the_crop(size: int, fill: float | None):
    images = from_source(TinySet(), size, 20, "shell", fill=fill, voxels="mesh")
    for row, R, t, K, mask in zip(images.objects, images.R, images.t, images.K, images.masks, strict=True):
        seen, said = silhouette(shape(int(row)), R, t, K, size), mask / 255
        places = np.argwhere(np.ones_like(seen))
        centre, expected = (share.ravel() @ places / share.sum() for share in (said, seen))
        np.testing.assert_allclose(centre, expected, atol=0.002 * size)
        assert iou(seen >= 0.5, said >= 0.5) > 0.9
    np.testing.assert_array_equal(images.voxels[2], voxelise_shell(shape(2), 20))
    whole = from_source(TinySet(), size, 20, "shell", fill=fill, voxels="mesh", masks="mesh")
    assert np.mean([iou(a >= 128, b >= 128) for a, b in zip(whole.masks, images.masks, strict=True)]) > 0.95


def test_voxels_of_a_source_keep_their_own_frame():
    source = TinySet()
    images = from_source(source, 48, 6, "solid")
    points = np.random.default_rng(0).uniform(-0.4, 0.4, (20, 3))
    for i, row in enumerate(images.objects):
        sample = source.load(i)
        scale, offset = sample.voxel_frame
        np.testing.assert_array_equal(images.voxels[row], sample.voxels)
        plain = (points @ sample.R.T + sample.t) @ sample.K.T
        in_grid = ((scale * points + offset) @ images.R[i].T + images.t[i]) @ images.K[i].T
        np.testing.assert_allclose(in_grid[:, :2] / in_grid[:, 2:], plain[:, :2] / plain[:, 2:], atol=1e-3)


def test_a_rotation_alone_leaves_the_rest_unknown():
    def rotation_only(sample: Sample) -> Sample:
        return replace(sample, t=None, K=None)

    images = from_source(TinySet(shapes=1, views=1, change={0: rotation_only}), 48, 6, "solid")
    assert np.isfinite(images.R).all()
    assert np.isnan(images.t).all()
    assert np.isnan(images.K).all()


TALL = np.arange(216, dtype=np.uint8).reshape(9, 8, 3)


@pytest.mark.parametrize(
    ("gone", "options", "message"),
    [
        ({}, {"side": 8}, "solid with side 6, not solid with 8"),
        ({}, {"kind": "shell"}, "not shell"),
        ({"voxels": None}, {}, "no voxels of its own"),
        ({"mesh": None}, {"voxels": "mesh"}, "no mesh to make voxels"),
        ({"mask": None}, {}, "has no mask"),
        ({"mesh": None}, {"masks": "mesh"}, "whole pose"),
        ({"t": np.array([9.0, 0.0, 2.0])}, {"masks": "mesh"}, "not in the picture"),
        ({"t": np.array([0.0, 0.0, 0.1])}, {"masks": "mesh"}, "behind the camera"),
        ({}, {"masks": "hand"}, "source or mesh"),
        ({}, {"size": 2}, "at least 8 pixels"),
        ({"image": None}, {}, "has no picture"),
        ({"R": None}, {}, "pose is not known"),
        ({"image": TALL, "mask": np.ones((9, 8))}, {}, "8 x 9, not square"),
    ],
)
def test_sources_without_what_is_asked_for(gone: dict, options: dict, message: str):
    source = TinySet(shapes=1, views=1, change={0: lambda sample: replace(sample, **gone)})
    with pytest.raises(InputError, match=message):
        from_source(source, **{"size": 32, "side": 6, "kind": "solid", **options})


def test_a_few_bad_items_are_listed_and_many_refused():
    images = natural_from(TinySet(shapes=50, views=2, change={5: damaged}), 16)
    assert len(images) == 99
    assert images.made_by["left_out"] == [{"id": "bar-002.1", "error": "bar-002.1.png: breaks off; get it again"}]
    with pytest.raises(TooManyBadError, match="1 of 6"):
        from_source(TinySet(change={5: damaged}), 16, 6, "solid")


def test_photos_with_masks_become_crops(shared: Path):
    images = natural_from(open_models(shared / "data" / "photos"), 64, without=())
    assert len(images) > 40
    assert (images.masks >= 128).mean(axis=(1, 2)).min() > 0.05
