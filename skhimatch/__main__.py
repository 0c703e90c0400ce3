"""``python -m skhimatch``."""

import sys

from skhimatch.cli import main

if __name__ == "__main__":
    sys.exit(main())
