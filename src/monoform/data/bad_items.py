"""Items that cannot be used: a few are listed and skipped, many stop the run."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from monoform.data.samples import Item, Sample
from monoform.errors import InputError

TOLERATED = 0.01
"""Share of bad items above which a run stops, unless another is given."""
LISTED = 20
"""Bad items that are looked for before a run stops, so that the list says more than the first."""


class TooManyBadError(InputError):
    """More items are corrupt or empty than is tolerated: by default one in a hundred."""


@dataclass
class BadItems:
    """The corrupt and empty items among `total`."""

    total: int
    found: list[tuple[Item, str]] = field(default_factory=list)
    """Items and why each cannot be used."""
    tolerated: float = TOLERATED
    """Share of `total`."""

    def add(self, item: Item, reason: str) -> None:
        """List one. Raises TooManyBadError once there are too many to go on."""
        self.found.append((item, reason))
        if len(self.found) >= LISTED:
            self.refuse_too_many()

    def too_many(self) -> bool:
        """Whether they are more than the tolerated share."""
        return len(self.found) > self.tolerated * self.total

    def refuse_too_many(self) -> None:
        """Raise TooManyBadError if they are more than the tolerated share."""
        if self.too_many():
            item, reason = self.found[0]
            raise TooManyBadError(
                f"{len(self.found)} of {self.total} items cannot be used, first {item.id}: {reason}; "
                f"at most {100.0 * self.tolerated:g}% are skipped: get the set again, mend these, or allow more"
            )

    def records(self) -> list[dict[str, Any]]:
        """The list as JSON."""
        return [{"id": item.id, "error": reason} for item, reason in self.found]


def emptiness(sample: Sample) -> str:
    """Why a decoded sample has nothing to learn from; '' where it has something."""
    parts = (sample.image, sample.mask, sample.mesh, sample.voxels, sample.depth)
    if all(part is None for part in parts):
        return "it holds no picture, mask, mesh or voxels; get the set again"
    if sample.mask is not None and not (sample.mask >= 0.5).any():
        return "its mask is empty; leave it out or mend the mask"
    if sample.image is not None and (sample.image == sample.image[:1, :1]).all():
        return "its picture is one plain colour; get the picture again"
    if sample.mesh is not None and len(sample.mesh.faces) == 0:
        return "its mesh has no faces; export the mesh again"
    if sample.voxels is not None and not np.any(sample.voxels):
        return "its voxel grid is empty; make the grid again"
    return ""
