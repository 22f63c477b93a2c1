"""One thing goes by several names: sets, recipes and readers find it by any."""

from pathlib import Path

import pytest

from monoform.data.categories import is_wanted, library_name, split_names
from monoform.data.procedural.shapes import CATEGORIES
from monoform.data.readers.layout import SYNSETS, synsets_in
from monoform.data.synthetic import open_synthetic


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("airplane", "aeroplane"),
        ("Airplane", "aeroplane"),
        ("couch", "sofa"),
        ("motorcycle", "motorbike"),
        ("tv", "monitor"),
        ("display", "monitor"),
        ("dining_table", "table"),
        ("dining table", "table"),
        ("vessel", "boat"),
        (" car ", "car"),
        ("tv_stand", "tv_stand"),
        ("My mug", "My mug"),
        ("", ""),
    ],
)
def test_a_name_becomes_the_librarys(given: str, name: str) -> None:
    assert library_name(given) == name


def test_the_librarys_own_names_stay() -> None:
    assert [library_name(name) for name in (*CATEGORIES, *SYNSETS.values())] == [*CATEGORIES, *SYNSETS.values()]


def test_what_is_asked_for_is_found_by_any_name() -> None:
    assert is_wanted("sofa", "couch")
    assert is_wanted("couch", "Sofa")
    assert is_wanted("My mug", "my mug")
    assert is_wanted("sofa", None)
    assert not is_wanted("sofa", "chair")


def test_blanks_after_commas_do_not_matter() -> None:
    assert split_names("car, airplane") == ("car", "aeroplane")
    source = open_synthetic(["car", "automobile", "couch"], 1, views=1, size=16)
    assert source.categories == ("car", "sofa")


def test_synset_folders_go_by_name_and_number(tmp_path: Path) -> None:
    for synset in ("02691156", "02958343", "99999999"):
        (tmp_path / synset).mkdir()
    assert [path.name for path in synsets_in(tmp_path, "airplane", "")] == ["02691156"]
    assert [path.name for path in synsets_in(tmp_path, "99999999", "")] == ["99999999"]
    assert [path.name for path in synsets_in(tmp_path, "car", "")] == ["02958343"]
