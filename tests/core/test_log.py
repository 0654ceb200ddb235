import contextlib
import json
import math
import struct

import numpy as np
import pytest
from etils import epath
from tensorboardX import summary
from tensorboardX.proto import event_pb2

from jaxgan.core.errors import UserError
from jaxgan.core.log import Log, read


def row(number, **values):
    return {"round": number, "step": 2 * number, "train/loss": 0.5, **values}


def events(folder):
    """Returns all events of the TFRecord files, oldest first."""
    found = []
    for path in sorted(folder.glob("events.out.tfevents.*")):
        data = path.read_bytes()
        while data:
            (size,) = struct.unpack("<Q", data[:8])
            found.append(event_pb2.Event.FromString(data[12 : 12 + size]))
            data = data[12 + size + 4 :]
    return found


def write(folder, done, rows, media=None):
    with contextlib.closing(Log(epath.Path(folder), done)) as log:
        for item in rows:
            log.write(item, media or {})


def test_one_json_line_a_round(tmp_path):
    write(tmp_path, 0, [row(1), row(2, **{"valid/score": math.nan, "train/big": math.inf})])
    lines = (tmp_path / "metrics.jsonl").read_text().splitlines()
    assert json.loads(lines[0]) == row(1)
    assert json.loads(lines[1]) == row(2, **{"valid/score": None, "train/big": None})
    assert "NaN" not in lines[1]


def test_rounds_after_the_checkpoint_are_removed(tmp_path):
    write(tmp_path, 0, [row(1), row(2), row(3)])
    with (tmp_path / "metrics.jsonl").open("a") as file:
        file.write('{"round": 4, "tra')
    write(tmp_path, 1, [row(2, again=1.0)])
    assert read(tmp_path) == [row(1), row(2, again=1.0)]
    starts = [event.step for event in events(tmp_path) if event.HasField("session_log")]
    assert starts == [1, 2]


def test_lines_are_on_disk_when_write_returns(tmp_path):
    log = Log(epath.Path(tmp_path), 0)
    log.write(row(1), {})
    assert read(tmp_path) == [row(1)]
    values = [value for event in events(tmp_path) for value in event.summary.value]
    assert {value.tag for value in values} == {"step", "train/loss"}
    log.close()


def test_tensorboard_gets_scalars_and_media(tmp_path):
    pixels = np.zeros((6, 4, 3), np.uint8)
    media = {"image": lambda tag: summary.image(tag, pixels, dataformats="HWC")}
    write(tmp_path, 0, [row(3)], media)
    found = {
        value.tag: (event.step, value)
        for event in events(tmp_path)
        for value in event.summary.value
    }
    assert found["train/loss"][0] == 3
    assert found["train/loss"][1].simple_value == 0.5
    assert found["image"][0] == 3
    assert (found["image"][1].image.height, found["image"][1].image.width) == (6, 4)


def test_a_full_disk_is_reported(tmp_path, monkeypatch):
    log = Log(epath.Path(tmp_path), 0)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(log._board._writer, "write_event", full)
        with pytest.raises(UserError, match=r"cannot write in .*No space left on device"):
            log.write(row(1), {})
    log.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="Not a directory"):
        Log(epath.Path(tmp_path / "file"), 0)


def test_stores_that_cannot_append_get_the_whole_file(tmp_path, monkeypatch):
    write(tmp_path, 0, [row(1), row(2)])
    log = Log(epath.Path(tmp_path), 1)
    log._appends = False
    log.write(row(2, again=1.0), {})
    log.close()
    assert read(tmp_path) == [row(1), row(2, again=1.0)]
