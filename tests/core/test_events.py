import subprocess
import sys
from pathlib import Path

STAND_IN = "raise SystemExit('PyTorch was imported')"
PROGRAM = """
import sys
from jaxgan.core.events import summary
summary.scalar("loss", 1.0)
assert "torch" not in sys.modules
try:
    import torch
except SystemExit:
    print("importable")
"""


def test_pytorch_is_not_imported_but_stays_importable(tmp_path):
    (tmp_path / "torch.py").write_text(STAND_IN)
    root = Path(__file__).parents[2]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={"PYTHONPATH": f"{tmp_path}:{root}", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.strip() == "importable", done.stderr
