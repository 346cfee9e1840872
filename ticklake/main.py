"""The command `ticklake`: each module of `ticklake.commands` adds what it offers."""

import importlib
import pkgutil
import sys
from typing import NoReturn

import typer
from rich.markup import escape

from connectors.errors import TicklakeError
from ticklake import commands, console


def build() -> typer.Typer:
    """The command line with every command that a module in `ticklake.commands` registers."""
    app = typer.Typer(
        name="ticklake",
        help="A streaming lakehouse for a trading desk that proves it is complete.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    for module in sorted(pkgutil.iter_modules(commands.__path__), key=lambda m: m.name):
        importlib.import_module(f"{commands.__name__}.{module.name}").register(app)
    return app


def main() -> NoReturn:
    """Run the command line; a fault that has a way out is one line, without a traceback."""
    try:
        build()()
    except TicklakeError as error:
        console.err.print(f"ticklake: {escape(str(error))}", soft_wrap=True, style="red")
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:  # the reader (head, less) has seen enough
        sys.stderr.close()
        sys.exit(0)
    sys.exit(0)


if __name__ == "__main__":
    main()
