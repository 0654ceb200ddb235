"""Draws from a trained generator: `python sample.py --workdir=DIR [--count=N] [--output=PATH]`.

The code is in jaxgan/commands/sample.py, which `jaxgan sample` runs too.
"""

import sys

from jaxgan.commands.sample import main

if __name__ == "__main__":
    sys.exit(main())
