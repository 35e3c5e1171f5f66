"""Say something."""

from dataclasses import dataclass

from tyro.conf import Positional


@dataclass(frozen=True)
class Flags:
    """Print the words."""

    words: Positional[tuple[str, ...]]
    """What to say."""
    loud: bool = False
    """In capitals."""


def main(flags: Flags):
    text = " ".join(flags.words)
    print(text.upper() if flags.loud else text)
