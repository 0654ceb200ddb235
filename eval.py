"""Evaluates a trained run: `python eval.py --workdir=DIR [--data=DIR] [--output=DIR]`.

The code is in jaxgan/commands/eval.py, which `jaxgan eval` runs too.
"""

import sys

from jaxgan.commands.eval import main

if __name__ == "__main__":
    sys.exit(main())
