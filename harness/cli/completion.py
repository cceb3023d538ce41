"""``kab completion``: the shell's tab completion."""

import click
from click.shell_completion import get_completion_class


@click.command(
    epilog='\b\nExamples:\n  eval "$(kab completion bash)"\n  kab completion fish > ~/.config/fish/completions/kab.fish'
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the completion script for SHELL."""
    kind = get_completion_class(shell)
    assert kind is not None  # click knows the three shells that the argument admits
    click.echo(kind(context.find_root().command, {}, "kab", "_KAB_COMPLETE").source())
