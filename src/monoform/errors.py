"""Errors a user can mend. Every one prints as a single line: what, why, and what to do."""


class InputError(ValueError):
    """Something handed in by the user is unusable; the message names it, the cause and the mend."""


class EmptyMaskError(InputError):
    """A mask without a foreground pixel."""


class FullMaskError(InputError):
    """A mask without a background pixel, which tells nothing about where the object stands."""


class SchemaError(InputError):
    """A record (json, RLE, camera file) that does not follow its schema."""


class NumericError(InputError):
    """NaN or infinity where a finite number is needed; the message names the stage."""


class MissingExtraError(RuntimeError):
    """An optional dependency is needed and not installed (exit code 3); the message holds the pip command."""
