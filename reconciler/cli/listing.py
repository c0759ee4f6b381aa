"""A group of commands that is its own `list`: `reconcile held` is `reconcile held list`, with its options and help."""

from typing import Any

from typer.core import TyperGroup

DEFAULT = "list"


class ListByDefault(TyperGroup):
    """Takes what names no command for its `list`, so that the options of that are stated once."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the command's name before its options, unless they ask for the group's own help."""
        if not args or (args[0].startswith("-") and args[0] not in ctx.help_option_names):
            args = [DEFAULT, *args]
        return super().parse_args(ctx, args)

    def collect_usage_pieces(self, *_: Any) -> list[str]:
        """Say that a command may be named."""
        return ["[list] [OPTIONS] | COMMAND [ARGS]..."]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Tell of the options of the list, then of the commands."""
        self.commands[DEFAULT].format_options(ctx, formatter)
        self.format_commands(ctx, formatter)
