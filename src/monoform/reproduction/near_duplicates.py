"""Which models of a folder are nearly the same, so that intervals do not count them as independent."""

from pathlib import Path

from monoform.data.readers.models import open_models
from monoform.evaluate import Groups


def groups_of(root: Path, category: str, split: str) -> Groups:
    """Id to group of the models that `models_for` gives, as the folder's manifest has them."""
    return {item.id: item.object_id for item in open_models(root, split=split, category=category).listed}


def groups_for_test(models: Path | None, category: str, *, real: bool) -> Groups | None:
    """Near-duplicates among a test set's objects, which are known of real models; None of others."""
    return groups_of(models, category, "test") if real and models is not None else None
