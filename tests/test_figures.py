"""Figures: the palette, what a drawing must be, the files it gives; and every registered figure, drawn once."""

import csv
import io

import matplotlib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck import checks, figures
from theorycheck.checks.claim import Effort
from theorycheck.figures import style
from theorycheck.figures.figure import Drawing, figure, save
from theorycheck.figures.gallery import draw

# Machado, Oliveira and Fernandes (2009), severity 1, acting on linear RGB
VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(linear):
    xyz = XYZ @ np.clip(linear, 0, 1)
    t = xyz / [0.9505, 1.0, 1.089]
    f = np.where(t > (6 / 29) ** 3, np.cbrt(t), t / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


def linear_rgb(color):
    srgb = np.array(matplotlib.colors.to_rgb(color))
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


def small(**table):
    made, axes = style.new()
    axes.plot([1, 2], [1, 2], **style.theory())
    return Drawing(made, table or {"x": [1.0, 2.0]})


def test_colours_differ_in_lightness():
    lightness = np.sort([lab(linear_rgb(color))[0] for color in style.COLORS])
    assert np.diff(lightness).min() >= 9


@pytest.mark.parametrize("vision", VISION)
def test_colours_differ_for_every_eye(vision):
    seen = np.array([lab(np.array(VISION[vision]) @ linear_rgb(color)) for color in style.COLORS])
    distance = np.linalg.norm(seen[:, None] - seen[None], axis=-1)
    assert distance[~np.eye(len(seen), dtype=bool)].min() >= 15   # 2.3 is just noticeable


def test_dashes_and_markers_are_one_to_a_colour():
    assert len(set(style.DASHES)) == len(set(style.MARKERS)) == len(style.COLORS) == 6


def test_style_leaves_the_users_settings_alone():
    before = dict(matplotlib.rcParams)
    with style.applied():
        assert matplotlib.rcParams["axes.spines.top"] is False
    assert dict(matplotlib.rcParams) == before


def test_band_stays_drawable_on_log_axes():
    _, axes = style.new()
    style.loglog(axes)
    shade = style.band(axes, [1.0, 2.0], [1.0, 1.0], [0.1, 5.0])
    assert (shade.get_paths()[0].vertices[:, 1] > 0).all()


@pytest.mark.parametrize(("table", "message"), [
    ({}, "one-dimensional and of equal length"), ({"x": [1], "y": [1, 2]}, "of equal length"),
    ({"x": [[1.0]]}, "one-dimensional"), ({"x": []}, "no rows"), ({"x": [1.0, float("nan")]}, "'x' holds NaN"),
    ({"x": [1.0], "y": [float("inf")]}, "'y' holds NaN or infinity")])
def test_bad_tables_are_refused(table, message):
    with pytest.raises(ValueError, match=message):
        Drawing(style.new()[0], table)


def test_a_drawing_needs_a_matplotlib_figure():
    with pytest.raises(ValueError, match="figure is a str"):
        Drawing("figure", {"x": [1]})


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(allow_nan=False, allow_infinity=False), st.integers(-10**9, 10**9),
                          st.text(st.characters(codec="utf-8", exclude_characters="\r\0"), max_size=8)), min_size=1))
def test_csv_reads_back_to_the_same_bits(rows):
    x, n, text = zip(*rows)
    # dtype object keeps trailing blanks and the like, which NumPy's own strings would drop
    table = {"x": np.array(x), "n": np.array(n), "text": np.array([*text, None], dtype=object)[:-1]}
    lines = list(csv.reader(io.StringIO(Drawing(matplotlib.figure.Figure(), table).csv(), newline="")))
    assert lines[0] == ["x", "n", "text"]
    assert [(float(a), int(b), c) for a, b, c in lines[1:]] == list(rows)


def test_a_missing_number_is_an_empty_cell():
    assert small(x=[1.0, 2.0], e=np.ma.masked_invalid([0.5, np.nan])).csv() == "x,e\n1.0,0.5\n2.0,\n"


def test_files_are_the_same_bytes_every_time(tmp_path):
    one, two = (save(small(), tmp_path / folder, "t.small") for folder in "ab")
    for kind in ("png", "pdf", "csv"):
        assert one[kind].name == f"t.small.{kind}"
        assert one[kind].read_bytes() == two[kind].read_bytes()
    assert one["png"].read_bytes().startswith(b"\x89PNG") and one["pdf"].read_bytes().startswith(b"%PDF")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["t.small.csv", "t.small.pdf", "t.small.png"]


def test_registration_refuses_a_taken_id_and_empty_fields(invented):
    def another(effort):
        return small()

    with pytest.raises(ValueError, match="'good.line' is taken already"):
        figure("line", topic="good", title="t", caption="c")(another)
    with pytest.raises(ValueError, match="caption must be one non-empty line"):
        figure("other", topic="good", title="t", caption="")


def test_a_figure_must_return_a_drawing():
    from theorycheck.figures.figure import Figure

    with pytest.raises(TypeError, match="t.x returned a int; it must return a Drawing"):
        Figure("x", "t", "title", "caption", (), lambda effort: 1)(Effort())


@pytest.mark.parametrize("jobs", [1, 2])
def test_one_broken_figure_does_not_stop_the_others(invented, jobs):
    chosen = [*figures.load("good").values(), *figures.load("bad").values()]
    plates = {plate.figure.id: plate for plate in draw(chosen, Effort(), invented / "out", jobs)}
    assert set(plates) == {"good.line", "good.far", "bad.torn"}
    assert all(path.stat().st_size for path in plates["good.line"].paths.values())
    assert plates["good.far"].missing and plates["good.far"].message == "no such machine here"
    assert not plates["bad.torn"].missing and plates["bad.torn"].message == "RuntimeError: no paper"


REGISTERED = [plate for topic in checks.TOPICS for plate in figures.load(topic).values()]


@pytest.mark.parametrize("plate", REGISTERED, ids=lambda plate: plate.id)
def test_every_registered_figure_gives_its_files(plate, tmp_path):
    assert set(plate.claims) <= set(checks.load(plate.topic)), "it names a claim that does not exist"
    (drawn,) = draw([plate], Effort(), tmp_path)
    assert not drawn.message
    assert {path.suffix for path in drawn.paths.values()} == {".png", ".pdf", ".csv"}
    for path in drawn.paths.values():
        assert path.stat().st_size > 200
    with open(drawn.paths["csv"], newline="") as file:
        rows = list(csv.reader(file))
    assert len(rows) > 2 and all(len(row) == len(rows[0]) for row in rows)
