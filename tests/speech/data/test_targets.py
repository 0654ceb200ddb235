import re

import numpy as np
import pytest

from jaxgan.core.errors import UserError
from jaxgan.speech.data.targets import read_targets

NAMES = ("p1/one", "p1/two", "p2/one")


def test_utterances_in_the_file_have_their_own_target(tmp_path):
    (tmp_path / "targets.csv").write_text("p2/one,0.5\np1/one, 0.25\n")
    targets = read_targets(str(tmp_path / "targets.csv"), NAMES, 1.0)
    assert targets.dtype == np.float32
    np.testing.assert_array_equal(targets, [0.25, 1.0, 0.5])


def test_a_byte_order_mark_is_not_part_of_the_first_name(tmp_path):
    (tmp_path / "targets.csv").write_text("p1/one,0.25\n", "utf-16")
    (tmp_path / "marked.csv").write_text("p1/one,0.25\n", "utf-8-sig")
    for name in ("targets.csv", "marked.csv"):
        targets = read_targets(str(tmp_path / name), NAMES, 1.0)
        np.testing.assert_array_equal(targets, [0.25, 1.0, 1.0])


@pytest.mark.parametrize("line", ["p3/one,0.5", "p1/two,high", "p1/two,nan", "p1/two", ""])
def test_invalid_lines_are_rejected_by_number(tmp_path, line):
    path = tmp_path / "targets.csv"
    path.write_text(f"p1/one,0.5\n{line}\n")
    with pytest.raises(UserError, match=re.escape(f"{path}, line 2: ")):
        read_targets(str(path), NAMES, 1.0)


def test_a_file_that_cannot_be_read_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nothing\.csv cannot be read"):
        read_targets(str(tmp_path / "nothing.csv"), NAMES, 1.0)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"binary\.csv cannot be read"):
        read_targets(str(tmp_path / "binary.csv"), NAMES, 1.0)
