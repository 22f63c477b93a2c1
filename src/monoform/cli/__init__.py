"""The command line: one file a command; what a command needs is imported when it runs, so that help appears at once."""

import io
import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import asdict
from types import FrameType
from typing import Annotated, NoReturn

from monoform.cli.options import BAD_INPUT, ENVIRONMENT, INTERNAL, INTERRUPTED, OK, TERMINATED, USAGE, UsageError
from monoform.errors import InputError, MissingExtraError

_HINTS = {"align": ", --resume goes on", "synth": ", the same command goes on", "convert": ", the same command goes on",
          "train": ", --resume goes on", "reproduce": ", the same command goes on"}  # fmt: skip
"""What is told when a command is interrupted that can go on."""
DESCRIPTION = "One photo of an object in, a pose-aware 3D shape out."


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code: 0 ok, 1 internal, 2 usage, 3 environment, 4 bad input, 5 some failed."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    _prepare_streams()
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _run(arguments)
        sys.stdout.flush()
        return code
    except BrokenPipeError:
        # Whoever read our output has seen enough (`| head`); Python must not complain when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return OK
    except KeyboardInterrupt:
        hint = next((text for command, text in _HINTS.items() if command in arguments[:2]), "")
        return _fail(f"interrupted; finished results are kept{hint}", INTERRUPTED)
    except Exception as error:
        if "--debug" in arguments:
            import traceback

            traceback.print_exc()
        return _fail(_one_line(error), _code_of(error))
    finally:
        signal.signal(signal.SIGTERM, before)


def _run(arguments: list[str]) -> int:
    import tyro

    if arguments == ["--version"]:
        from importlib import metadata

        print(f"monoform {metadata.version('monoform')}")
        return OK
    from monoform.cli import align, data, demo, doctor, evaluate, render, reproduce, scene, schema, train

    commands = {
        align.Align: align,
        scene.Scene: scene,
        render.Render: render,
        data.Data: data,
        train.Train: train,
        evaluate.Evaluate: evaluate,
        reproduce.Reproduce: reproduce,
        demo.Demo: demo,
        doctor.Doctor: doctor,
        schema.Schema: schema,
    }
    configs = (
        Annotated[align.Align, tyro.conf.subcommand("align")]
        | Annotated[scene.Scene, tyro.conf.subcommand("scene")]
        | Annotated[render.Render, tyro.conf.subcommand("render")]
        | Annotated[data.Data, tyro.conf.subcommand("data")]
        | Annotated[train.Train, tyro.conf.subcommand("train")]
        | Annotated[evaluate.Evaluate, tyro.conf.subcommand("evaluate")]
        | Annotated[reproduce.Reproduce, tyro.conf.subcommand("reproduce")]
        | Annotated[demo.Demo, tyro.conf.subcommand("demo")]
        | Annotated[doctor.Doctor, tyro.conf.subcommand("doctor")]
        | Annotated[schema.Schema, tyro.conf.subcommand("schema")]
    )
    try:
        config = tyro.cli(
            configs,
            prog="monoform",
            description=DESCRIPTION,
            args=arguments,
            config=(tyro.conf.FlagCreatePairsOff, tyro.conf.OmitSubcommandPrefixes, tyro.conf.DisallowNone),
        )
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else OK if stop.code is None else USAGE
    if config.common.print_config:
        from monoform.cli.options import print_json

        print_json(asdict(config), indent=2)
        return OK
    return commands[type(config)].run(config)


def _prepare_streams() -> None:
    """A closed stream swallows what is written; one that cannot show a character gets an escape, not a traceback."""
    # Python gives None for a descriptor that was closed before it started (`>&-`). stdout first, so that the null
    # device takes the free descriptor and no result file can become the place where libraries print.
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    sys.exit(TERMINATED)


def _code_of(error: Exception) -> int:
    if isinstance(error, UsageError):
        return USAGE
    if isinstance(error, InputError):
        return BAD_INPUT
    if isinstance(error, MissingExtraError | OSError | MemoryError | ImportError):
        return ENVIRONMENT
    return INTERNAL


def _one_line(error: Exception) -> str:
    from monoform.files.atomic import WriteError, printable_name

    text = " ".join(str(error).split()) or type(error).__name__
    if type(error) is not WriteError and isinstance(error, OSError) and error.strerror:
        place = f"{printable_name(os.fsdecode(error.filename))}: " if isinstance(error.filename, str | bytes) else ""
        return f"{place}{error.strerror.lower()}; check the path, its permissions and the space on its disk"
    if _code_of(error) == INTERNAL:
        return f"internal error: {type(error).__name__}: {text}; --debug shows where, please report it"
    return text


def _fail(text: str, code: int) -> int:
    print(f"monoform: {text}", file=sys.stderr)
    return code
