"""Which models of a folder are nearly the same, so that intervals do not count them as independent."""

from pathlib import Path

from monoform.data.readers.models import open_models
from monoform.evaluate import Groups


def groups_of(root: Path, category: str, split: str) -> Groups:
    """Id to group of the models that `models_for` gives, as the folder's manifest has them."""
    return {item.id: item.object_id for item in open_models(root, split=split, category=category).listed}
