"""`python -m thesan` is the `thesan` command."""

import sys

from thesan.cli.main import main

sys.exit(main())
