"""``kab schema``: what an editor needs to know of kab's files."""

from json import dumps

import click

# As harness.config.schema has them; named here so that --help imports nothing.
_NAMES = ("experiment", "waivers")

EPILOG = """\b
Examples:
  kab schema experiment > ~/kab-experiment.json
  kab schema waivers > ~/kab-waivers.json
"""


@click.command(epilog=EPILOG)
@click.argument("name", type=click.Choice(_NAMES))
def schema(name: str) -> None:
    """Print the JSON Schema (draft 2020-12) of a kind of file: `experiment`, which matrices are too, or `waivers`.

    An editor with a YAML language server completes and checks keys by it; `kab plan FILE` checks the rest.
    """
    from harness.config.schema import SCHEMAS

    click.echo(dumps(SCHEMAS[name](), indent=2, ensure_ascii=False))
