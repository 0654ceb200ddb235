"""Small video files, and scenes in the layout of AVSEC."""

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from corpora import save

from jaxgan.speech.data.corpus import PairCorpus


def film(path: Path, frames: np.ndarray, rate=25, times=None) -> Path:
    """Writes grey frames, uint8 [F, height, width], without loss.

    Args:
        path: the file, a QuickTime file whatever its suffix is; mp4 holds no lossless grey frames.
        frames: what it shows.
        rate: frames a second.
        times: of each frame, in milliseconds; None: number / rate.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", format="mov") as file:
        stream = file.add_stream("png", rate=rate)
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "gray"
        for number, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray")
            if times is not None:
                frame.pts, frame.time_base = times[number], Fraction(1, 1000)
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def film_h264(path: Path, frames: np.ndarray, first: bool = True) -> Path:
    """Writes grey frames as real mp4 files are, with the table of frames first or last."""
    options = {"movflags": "faststart"} if first else {}
    with av.open(str(path), "w", format="mp4", options=options) as file:
        stream = file.add_stream("libx264", rate=25, options={"crf": "10"})
        stream.height, stream.width = frames.shape[1:]
        stream.pix_fmt = "yuv420p"
        for picture in frames:
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="gray")
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))
    return path


def write_scenes(corpus: PairCorpus, folder: Path, start: int = 1) -> list[str]:
    """Writes a corpus with videos as scenes of the monaural track, and returns their names."""
    names = [f"S{start + number:05d}" for number in range(len(corpus))]
    for number, name in enumerate(names):
        save(folder / f"{name}_mono_mix.wav", corpus.noisy(number))
        save(folder / f"{name}_target_mono_anechoic.wav", corpus.clean(number))
        film(folder / f"{name}_silent.mp4", corpus.videos.target(number))
    return names
