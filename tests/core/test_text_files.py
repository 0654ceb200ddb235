import re

import pytest

from jaxgan.core.errors import UserError
from jaxgan.core.text_files import read_text


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_not_part_of_the_text(tmp_path, encoding):
    (tmp_path / "a.csv").write_bytes("name,café\n".encode(encoding))
    assert read_text(tmp_path / "a.csv", "", "a table") == "name,café\n"


def test_other_encodings_and_missing_files_are_user_errors(tmp_path):
    path = tmp_path / "a.csv"
    with pytest.raises(UserError, match=re.escape(f"key={path} cannot be read: give a table (")):
        read_text(path, "key=", "a table")
    path.write_bytes("name,café\n".encode("latin-1"))
    with pytest.raises(
        UserError, match=re.escape(f"{path} cannot be read: it is not UTF-8 text (b")
    ):
        read_text(path, "", "a table")
