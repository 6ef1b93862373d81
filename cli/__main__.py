"""`plumb`: finds the command, runs it, and ends with a status that scripts can rely on."""

import errno
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from cli.failure import Failure, Status
from cli.questions import QUESTIONS
from cli.render import safe

# Each command's module is imported when it is called: --help must not wait for grpc or the compiler.
_COMMANDS = {
    "up": ("cli.up", "Agent and aggregator on this machine, until Ctrl-C."),
    "agent": ("cli.agent", "Watch this host and report to an aggregator."),
    "aggregator": ("cli.aggregator", "Gather what agents report, and answer."),
    "doctor": ("cli.doctor", "What this machine can and cannot do, and the remedy."),
    "graph": ("cli.graph", "Who calls whom, with numbers."),
    "watch": ("cli.watch", "Changes of the graph as they happen."),
    "show": ("cli.show", "One node: who calls it and what it calls."),
    **{question.name: ("cli.ask", question.help) for question in QUESTIONS.values()},
    "export": ("cli.export", "The graph in a form that another tool reads."),
}
# What a place says that takes no more; all else of the kind is a fault of ours.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})


class _Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in _COMMANDS:
            return None
        module = importlib.import_module(_COMMANDS[cmd_name][0])
        command: click.Command = module.command_for(cmd_name) if cmd_name in QUESTIONS else module.command
        return command

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            # The reader went away (plumb graph | head); what it wanted it has.
            _drop_output()
            return Status.DONE

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in _COMMANDS.items()])


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option("0.1.0", prog_name="plumb")
def plumb() -> None:
    """What this cluster really does, seen from the kernel."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status."""
    try:
        returned: Any = plumb.main(arguments, prog_name="plumb", standalone_mode=False)
    except Failure as failure:
        return _refuse(failure.sentence, failure.status)
    except click.exceptions.NoArgsIsHelpError as asked:
        click.echo(asked.format_message(), err=True)
        return Status.WRONG_USE
    except click.UsageError as wrong:
        place = wrong.ctx.command_path if wrong.ctx else "plumb"
        return _refuse(f"{wrong.format_message().rstrip('.')}; see {place} --help.", Status.WRONG_USE)
    except click.ClickException as failed:
        return _refuse(failed.format_message(), Status.WRONG_USE)
    except (click.Abort, KeyboardInterrupt):
        return 130
    except OSError as error:
        if error.errno not in _FULL:
            raise
        _drop_output()
        return _refuse(f"The answer could not be written ({error.strerror}); make room there.", Status.NOT_REACHED)
    return int(returned or Status.DONE)


def _drop_output() -> None:
    """Python would flush once more at the end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refuse(sentence: str, status: Status) -> Status:
    click.echo(f"plumb: {safe(sentence)}", err=True)
    return status


def main() -> None:
    """The command's entry point."""
    sys.exit(run())


if __name__ == "__main__":
    main()
