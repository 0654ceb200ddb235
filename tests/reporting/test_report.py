"""The report holds what it shows, and text in it cannot become markup."""

import base64
import html.parser
import io

import numpy as np
import soundfile
from matplotlib.image import imread

from jaxgan.reporting import figures, report
from jaxgan.reporting.report import Gallery, Panel, Section
from jaxgan.reporting.tables import Cell, Table


class Page(html.parser.HTMLParser):
    """The tags, sources and text of a page."""

    def __init__(self, text):
        super().__init__()
        self.sources, self.tags, self.text, self.classes = [], [], "", []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        values = dict(attributes)
        self.sources += [(tag, values[key]) for key in ("src", "href") if key in values]
        self.classes += [values["class"]] if "class" in values else []

    def handle_data(self, data):
        self.text += data


def test_text_is_escaped_everywhere():
    bad = "<script>\"&'"
    picture = report.picture(np.zeros((2, 2, 3), np.uint8), bad)
    table = Table([bad], [[Cell(bad, bad)]], caption=bad)
    gallery = Gallery(bad, [Panel(bad, picture, note=bad)])
    sections = [Section(bad, [table], [picture], [gallery])]
    page = Page(report.render(bad, bad, [bad], sections))
    assert "script" not in page.tags
    # title, h1, introduction, warning, h2, heading, cell, its note, caption, h3, panel, its note
    assert page.text.count(bad) == 12
    assert {"table", "img", "h2", "h3", "figcaption"} <= set(page.tags)


def test_empty_parts_leave_nothing():
    sections = [Section("no rows", [Table(["a"], [])]), Section("nothing")]
    page = Page(report.render("title", "text", [], sections))
    assert "warning" not in page.classes
    assert "no rows" not in page.text
    assert "nothing" not in page.text
    assert "h2" not in page.tags


def test_verdicts_are_coloured():
    row = [Cell("a", verdict=1), Cell("b", verdict=-1), Cell("c")]
    page = Page(report.render("t", "i", [], [Section("s", [Table(["x", "y", "z"], [row])])]))
    assert [name for name in page.classes if name in ("better", "worse")] == ["better", "worse"]


def test_media_are_embedded_without_loss():
    samples = np.random.default_rng(0).integers(-32768, 32767, 300, np.int16)
    pixels = np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)
    panel = Panel("side", report.picture(pixels, "noise"), report.wav(samples, 22050))
    page = Page(report.render("t", "i", [], [Section("s", galleries=[Gallery("g", [panel])])]))
    data = {tag: base64.b64decode(source.split(",")[1]) for tag, source in page.sources}
    read, rate = soundfile.read(io.BytesIO(data["audio"]), dtype="int16")
    assert rate == 22050
    np.testing.assert_array_equal(read, samples)
    shown = imread(io.BytesIO(data["img"]), format="png")[..., :3]
    np.testing.assert_array_equal(np.round(shown * 255).astype(np.uint8), pixels)


def test_figures_of_any_names_are_drawn():
    columns = {
        "first $": {"a$_$": np.array([1.0, 2.0]), "none": np.full(2, np.nan)},
        "日本": {"a$_$": np.array([1.5, 1.0]), "none": np.full(2, np.nan)},
    }
    history = [{"round": 1, "valid/x": 0.5}, {"round": 2, "valid/x": None}]
    for figure in (
        figures.scatter(columns, "first $"),
        figures.curves({"日本": history, "other": []}, ["valid/x", "valid/y"]),
    ):
        image = imread(io.BytesIO(report.drawing(figure, "scores").png), format="png")
        assert image[..., :3].std() > 0
