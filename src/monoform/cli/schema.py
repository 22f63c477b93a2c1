"""monoform schema: the JSON schemas of result.json and scene.json."""

from dataclasses import dataclass, field
from typing import Literal

import tyro

from monoform.cli.options import OK, Common, print_json


@dataclass(frozen=True)
class Schema:
    """Print the JSON schema that every result.json, or every scene.json, follows."""

    of: tyro.conf.Positional[Literal["result", "scene"]] = "result"
    """Which file's."""
    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


def run(config: Schema) -> int:
    """Print it; the exit code."""
    from monoform.results import read_schema

    print_json(read_schema(config.of), indent=None if config.common.json else 2)
    return OK
