"""The `thesan` command, also as `python -m thesan`."""

import sys


def main() -> int:
    """Run it. Ctrl-C while its modules are still being imported ends it as quietly as later."""
    try:
        from thesan.cli.main import main as command

        return command()
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
