"""Trains a system: `python train.py --config=configs/NAME.py[:PRESET] [--config.key=value ...]`.

The code is in jaxgan/commands/train.py, which `jaxgan train` runs too.
"""

import sys

from jaxgan.commands.train import main

if __name__ == "__main__":
    sys.exit(main())
