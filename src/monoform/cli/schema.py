"""monoform schema: the JSON schema of result.json."""

from dataclasses import dataclass, field

import tyro

from monoform.cli.options import OK, Common, print_json


@dataclass(frozen=True)
class Schema:
    """Print the JSON schema that every result.json follows."""

    common: tyro.conf.OmitArgPrefixes[Common] = field(default_factory=Common)


def run(config: Schema) -> int:
    """Print it; the exit code."""
    from monoform.results import schema

    print_json(schema(), indent=None if config.common.json else 2)
    return OK
