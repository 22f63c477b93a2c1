"""Names of categories: published sets and people call one thing by several, the library by one."""

_SYNONYMS = {
    "airplane": "aeroplane",
    "plane": "aeroplane",
    "bike": "bicycle",
    "ship": "boat",
    "vessel": "boat",
    "watercraft": "boat",
    "automobile": "car",
    "couch": "sofa",
    "dining table": "table",
    "diningtable": "table",
    "motorcycle": "motorbike",
    "display": "monitor",
    "television": "monitor",
    "tv": "monitor",
    "tvmonitor": "monitor",
    "firearm": "rifle",
    "loudspeaker": "speaker",
    "phone": "telephone",
}


def library_name(category: str) -> str:
    """The library's name of a category ('diningtable' is 'table'), in any case and with _ or - for blanks.

    An unknown one keeps its own.
    """
    plain = category.strip()
    key = plain.lower().replace("_", " ").replace("-", " ")
    return _SYNONYMS.get(key, plain)


def is_wanted(category: str, wanted: str | None) -> bool:
    """Whether a category is the one asked for, by any of its names; None asks for all."""
    return wanted is None or library_name(category).casefold() == library_name(wanted).casefold()


def split_names(text: str) -> tuple[str, ...]:
    """The library's names of categories that commas separate: 'car, airplane'."""
    return tuple(library_name(name) for name in text.split(","))
