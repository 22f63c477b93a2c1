"""Property: any bytes at all give a photo or an InputError, never anything else."""

import random
import subprocess
import sys
import threading

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, features

from monoform.errors import InputError
from monoform.files.contents import identify
from monoform.files.images import load_image, load_mask_file
from pictures import encode, exif_record, gamma_profile, one_line, scene


def mutate(data: bytes, seed: int) -> bytes:
    """Cut, flip bits of, splice, or overwrite a length field of a file; always the same for a seed."""
    rng = random.Random(seed)
    for _ in range(rng.randint(1, 3)):
        position = rng.randrange(len(data))
        match rng.randrange(4):
            case 0:
                data = data[: max(position, 1)]
            case 1:
                data = data[:position] + bytes([data[position] ^ (1 << rng.randrange(8))]) + data[position + 1 :]
            case 2:
                other = rng.randrange(len(data))
                data = data[:position] + data[other : other + rng.randrange(64)] + data[position:]
            case 3:
                data = (
                    data[:position]
                    + rng.choice([b"\xff\xff\xff\xff", bytes(4), b"\x7f\xff\xff\xff"])
                    + data[position + 4 :]
                )
    return data


SAMPLES = {
    "JPEG": encode(scene(), "JPEG", exif=exif_record(orientation=6, focal_35mm=28), icc_profile=gamma_profile(1.0)),
    "PNG": encode(np.dstack([scene(), scene()[..., 0]]), "PNG"),
    "P": encode(Image.fromarray(scene()).quantize(16), "PNG", transparency=bytes([0] * 3)),
    "I;16": encode(scene()[..., 0].astype(np.uint16) * 250, "PNG"),
    "WEBP": encode(np.dstack([scene(), scene()[..., 0]]), "WEBP", exif=exif_record(orientation=3)),
    "BMP": encode(scene(), "BMP"),
    "TIFF": encode(scene(), "TIFF", compression="tiff_lzw"),
    "F": encode(scene()[..., 0].astype(np.float32), "TIFF"),
    "CMYK": encode(Image.fromarray(scene()).convert("CMYK"), "JPEG"),
}
if features.check("avif"):
    SAMPLES["AVIF"] = encode(scene(), "AVIF")


def photo_or_refusal(data: bytes):
    for lenient in (False, True):
        try:
            photo = load_image(data, lenient=lenient, max_pixels=1_000_000)
        except InputError as error:
            one_line(error)
            continue
        height, width = photo.size_hw
        assert photo.image.dtype == np.uint8
        assert photo.image.shape == (height, width, 3)
        assert height * width <= 1_000_000
        assert photo.alpha is None or (photo.alpha.shape == (height, width) and np.isfinite(photo.alpha).all())
        assert photo.focal_px is None or photo.focal_px > 0


@pytest.mark.parametrize("kind", SAMPLES)
def test_any_damage_to_a_picture_gives_a_photo_or_an_input_error(kind):
    for seed in range(150):
        photo_or_refusal(mutate(SAMPLES[kind], seed))


@given(st.binary(max_size=300), st.sampled_from([b"", *(data[:40] for data in SAMPLES.values())]))
def test_any_bytes_give_a_photo_or_an_input_error(tail, head):
    photo_or_refusal(head + tail)
    try:
        mask = load_mask_file(head + tail, (24, 40))
    except InputError as error:
        one_line(error)
    else:
        assert mask.shape == (24, 40)


def test_the_format_is_told_by_the_content_and_not_by_the_name():
    kinds = {"P": "PNG", "I;16": "PNG", "F": "TIFF", "CMYK": "JPEG"}
    for kind, data in SAMPLES.items():
        assert identify(data, "wrong.gif") == kinds.get(kind, kind)


def test_many_threads_read_good_and_broken_files_without_disturbing_each_other():
    whole, broken = encode(scene(200, 200), "PNG"), encode(scene(200, 200), "PNG")[:-200]
    wrong = []

    def read(lenient: bool):
        for _ in range(10):
            wrong.append(load_image(whole).warnings != ())
            try:
                load_image(broken, lenient=lenient)
            except InputError:
                wrong.append(lenient)
            else:
                wrong.append(not lenient)

    threads = [threading.Thread(target=read, args=(i % 2 == 0,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(wrong) == 120
    assert not any(wrong)


def test_reading_pictures_needs_neither_torch_nor_opencv():
    code = (
        "import sys, numpy, monoform.files.atomic, monoform.masks; from monoform.files.images import load_image\n"
        "load_image(numpy.zeros((20, 20, 3), numpy.uint8))\n"
        "assert not {'torch', 'cv2', 'scipy', 'skimage', 'rembg'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
