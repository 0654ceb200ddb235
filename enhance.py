"""Enhances files: `python enhance.py --workdir=DIR --input=FILE_OR_DIR --output=DIR`.

The code is in jaxgan/commands/enhance.py, which `jaxgan enhance` runs too.
"""

import sys

from jaxgan.commands.enhance import main

if __name__ == "__main__":
    sys.exit(main())
