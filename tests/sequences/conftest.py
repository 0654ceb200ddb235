"""Lets the tests import the helpers in tiny.py."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
