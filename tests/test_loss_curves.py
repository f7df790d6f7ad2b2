"""Reading measured loss curves, and the laws as functions."""

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theorycheck.sims import loss_curves
from theorycheck.sims.loss_curves import LossCurve, read_csv
from theorycheck.theory.fsl import loss_curve_laws as laws

ROWS = "".join(f"{100 * k},0.001,{3 - 0.1 * k}\n" for k in range(1, 11))
GOOD = "step,lr,loss\n" + ROWS


def written(folder, content, name="run.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# ---------------------------------------------------------------- files

@pytest.mark.parametrize("content", [
    GOOD,
    "\ufeff" + GOOD,
    GOOD.replace("\n", "\r\n"),
    GOOD.replace("\n", "\r"),
    GOOD + "\n\n",
    GOOD.rstrip("\n"),
    GOOD.replace("step,lr,loss", " Step , LR ,loss"),
    GOOD.replace("0.001", '"1e-3"'),
    "note,step,lr,loss\n" + "".join(f'"a, b",{line}\n' for line in ROWS.splitlines()),
], ids=["plain", "BOM", "CRLF", "CR", "blank lines", "no last line end", "header case", "quotes", "other columns"])
def test_readable_files_are_read(tmp_path, content):
    curve = read_csv(written(tmp_path, content))
    assert curve.name == "run"
    np.testing.assert_array_equal(curve.steps, 100.0 * np.arange(1, 11))
    np.testing.assert_array_equal(curve.rates, np.full(10, 0.001))
    np.testing.assert_allclose(curve.losses, 3 - 0.1 * np.arange(1, 11))
    assert curve.batch_sizes is None


def test_loss_is_optional_and_batch_size_is_read(tmp_path):
    curve = read_csv(written(tmp_path, "lr,batch_size,step\n0.1,32,0\n0,64,5\n"))
    assert curve.losses is None
    np.testing.assert_array_equal(curve.batch_sizes, [32, 64])
    np.testing.assert_array_equal(curve.rates, [0.1, 0.0])


BAD = {
    "empty": ("", "is empty"),
    "blank": (" \n\n", "is empty"),
    "header only": ("step,lr,loss\n", "has a header but no rows"),
    "no header": (ROWS, "column 'step' is missing from the header"),
    "no lr": (GOOD.replace(",lr,", ",rate,"), "column 'lr' is missing from the header .*'rate'"),
    "no step": (GOOD.replace("step", "iteration"), "column 'step' is missing"),
    "twice": (GOOD.replace("loss", "lr"), "column 'lr' appears twice"),
    "semicolon": (GOOD.replace(",", ";"), "separated by semicolons; a comma is needed"),
    "tab": (GOOD.replace(",", "\t"), "separated by tabs"),
    "space": (GOOD.replace(",", " "), "separated by spaces"),
    "decimal comma": (GOOD.replace("0.001", "0,001"), "line 2 has 4 field"),
    "text": (GOOD.replace("400,0.001,2.6", "400,0.001,two"), "line 5: loss is 'two'; a number is needed"),
    "empty cell": (GOOD.replace("400,0.001,2.6", "400,,2.6"), "line 5: lr is empty; a number is needed"),
    "underscore": (GOOD.replace("400,", "4_00,"), "line 5: step is '4_00'"),
    "NaN": (GOOD.replace("2.6", "nan"), "line 5: loss is nan; it must be positive"),
    "infinite": (GOOD.replace("2.6", "inf"), "line 5: loss is inf; it must be positive"),
    "overflowing": (GOOD.replace("2.6", "1e999"), "line 5: loss is inf"),
    "huge loss": (GOOD.replace("2.6", "1e200"), r"line 5: loss is 1e\+200; .* at most 1e12"),
    "zero loss": (GOOD.replace("2.6", "0"), "line 5: loss is 0; it must be positive"),
    "negative lr": (GOOD.replace("400,0.001", "400,-0.001"), r"line 5: lr is -0.001; it must be in \[0, 1e6\]"),
    "all lr zero": (GOOD.replace("0.001", "0"), "lr is 0 in every row"),
    "negative step": (GOOD.replace("\n100,", "\n-100,"), "line 2: step is -100; it must be in"),
    "steps go back": (GOOD.replace("\n400,", "\n250,"), "line 5: step is 250 after 300; steps must increase"),
    "steps repeat": (GOOD.replace("\n400,", "\n300,"), "line 5: step is 300 after 300"),
    "zero batch": ("step,lr,loss,batch_size\n1,1,1,0\n", "line 2: batch_size is 0; it must be positive"),
    "short row": (GOOD.replace("400,0.001,2.6", "400,0.001"), "line 5 has 2 field.* the header has 3"),
    "few rows": ("step,lr,loss\n1,1,1\n2,1,1\n", "2 row.*at least 8 are needed"),
    "one row": ("step,lr\n1,1\n", "1 row.*at least 2 are needed"),
    "open quote": (GOOD.replace("400,0.001,2.6", '400,0.001,"2.6'), "line 5: a quoted cell does not end on its line"),
    "cell of two lines": ('step,lr,loss,note\n1,1,1,"a\nb"\n', "line 2: .* cells of several lines are not read"),
    "UTF-16": (GOOD.encode("utf-16"), "is UTF-16 text; save it as UTF-8"),
    "Latin-1": ("st\u00e9p,lr,loss\n".encode("latin-1"), "is not UTF-8 text"),
    "zero bytes": (GOOD.encode() + b"\0\0", "contains a zero byte"),
    "binary": (bytes(range(256)) * 4, "is not UTF-8 text"),
    "long field": ("step,lr,loss\n" + "9" * 200_000 + ",1,1\n", "line 2: field larger"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_file_is_refused_in_one_line(tmp_path, case):
    content, message = BAD[case]
    path = written(tmp_path, content)
    with pytest.raises(ValueError, match=message) as refusal:
        read_csv(path)
    assert str(refusal.value).startswith(str(path)) and "\n" not in str(refusal.value)


def test_missing_and_unreadable_paths_and_size_limits(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="is a folder"):
        read_csv(tmp_path)
    with pytest.raises(ValueError, match="cannot be read .No such file"):
        read_csv(tmp_path / "none.csv")
    path = written(tmp_path, GOOD)
    monkeypatch.setattr(loss_curves, "MAX_ROWS", 9)
    with pytest.raises(ValueError, match="more than 9 rows; log fewer"):
        read_csv(path)
    monkeypatch.setattr(loss_curves, "MAX_BYTES", 2**20)
    with pytest.raises(ValueError, match="MiB; at most 1 MiB are read"):
        read_csv(written(tmp_path, GOOD + " " * 2**21))


@settings(max_examples=200, deadline=None)
@given(content=st.one_of(st.binary(max_size=200), st.text(alphabet="step,lrob\n0123456789.e-+\";\t ", max_size=200)
                         .map(lambda text: ("step,lr,loss\n" + text).encode())))
def test_whatever_a_file_holds_it_is_read_or_refused_in_one_line(tmp_path_factory, content):
    path = written(tmp_path_factory.mktemp("fuzz"), content)
    try:
        curve = read_csv(path)
    except ValueError as refusal:
        assert "\n" not in str(refusal) and str(path) in str(refusal)
    else:
        assert np.all(np.diff(curve.steps) > 0) and np.all(np.isfinite(curve.rates))


def test_a_curve_checks_its_arrays():
    steps = np.arange(10.0)
    with pytest.raises(ValueError, match=r"x: loss has shape \(9,\); it must be \(10,\)"):
        LossCurve("x", steps, steps + 1, np.ones(9))
    with pytest.raises(ValueError, match="x: row 3: lr is nan"):
        LossCurve("x", steps, np.where(steps == 2, np.nan, 1.0), np.ones(10))
    with pytest.raises(ValueError, match="x: row 10: step is 8 after 8"):
        LossCurve("x", np.minimum(steps, 8), np.ones(10), np.ones(10))
    curve = LossCurve("x", steps, steps + 1)
    with pytest.raises(ValueError, match="read-only"):
        curve.rates[0] = 5


# ---------------------------------------------------------------- sums

def test_decay_sum_against_mpmath():
    rng = np.random.default_rng(1)
    times, changes = np.sort(rng.random(5)) * 10, np.sort(rng.random(7)) * 10
    weights, speeds = rng.standard_normal((7, 1)), 10.0 ** rng.uniform(-3, 3, 7)
    for exponent in (0.02, 0.5, 3.0):
        with mpmath.workdps(40):
            expected = [mpmath.fsum(mpmath.mpf(w) * (1 - (1 + mpmath.mpf(v) * (mpmath.mpf(t) - mpmath.mpf(x)))
                                                     ** -mpmath.mpf(exponent))
                                    for x, w, v in zip(changes, weights[:, 0], speeds) if x < t) for t in times]
        found = laws.decay_sum(times, changes, weights, speeds, exponent, "direct")[:, 0]
        np.testing.assert_allclose(found, np.array(expected, dtype=float), rtol=1e-12, atol=1e-13)


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**31), exponent=st.floats(0.02, 3.0), log_speed=st.floats(-3, 4),
       log_length=st.floats(-2, 4))
def test_exponentials_agree_with_the_direct_sum(seed, exponent, log_speed, log_length):
    rng = np.random.default_rng(seed)
    times, changes = (np.sort(rng.random(n)) * 10.0**log_length for n in (40, 60))
    weights, speeds = rng.standard_normal((60, 2)), 10.0 ** (log_speed + rng.uniform(-1, 1, 60))
    exact = laws.decay_sum(times, changes, weights, speeds, exponent, "direct")
    fast = laws.decay_sum(times, changes, weights, speeds, exponent, "exponentials")
    scale = laws.decay_sum(times, changes, np.abs(weights), speeds, exponent, "direct")
    assert np.all(np.abs(fast - exact) <= 1e-8 * scale)


def test_a_long_log_takes_the_fast_sum_and_agrees():
    times = np.linspace(1, 50, 3000)
    changes = times[:-1] + 0.003
    weights, speeds = np.sin(times[:-1])[:, None], np.full(2999, 20.0)
    automatic = laws.decay_sum(times, changes, weights, speeds, 0.4)
    np.testing.assert_array_equal(automatic, laws.decay_sum(times, changes, weights, speeds, 0.4, "exponentials"))
    np.testing.assert_allclose(automatic, laws.decay_sum(times, changes, weights, speeds, 0.4, "direct"), atol=1e-6)


def test_decay_sum_refuses():
    nothing = np.zeros((0, 2))
    assert laws.decay_sum(np.ones(3), np.zeros(0), nothing, np.zeros(0), 0.5).shape == (3, 2)
    with pytest.raises(ValueError, match="method is 'x'; it must be"):
        laws.decay_sum(np.ones(3), np.zeros(0), nothing, np.zeros(0), 0.5, "x")
    with pytest.raises(ValueError, match="exponent is 0; it must lie in"):
        laws.decay_sum(np.ones(3), np.zeros(0), nothing, np.zeros(0), 0)


# ---------------------------------------------------------------- what the laws see

def cosine(steps, first, last, peak=3e-4):
    return peak * (0.55 + 0.45 * np.cos(np.pi * (steps - first) / (last - first)))


def printed_basis(clock, level, s, c4, c5):
    """The printed double sum, every row a change: columns 1, T^-s, and minus the two decay sums."""
    sums = np.zeros((2, clock.size))
    for k in range(clock.size):
        for i in range(1, k + 1):
            settled = 1 - (1 + c4 * (clock[k] - clock[i])) ** -c5
            sums[:, k] += (level[i - 1] - level[i]) * np.array([1, clock[i] ** -s]) * settled
    return np.column_stack([np.ones(clock.size), clock**-s, -sums[0], -sums[1]])


def test_the_basis_is_the_limit_of_the_printed_sum():
    """The printed sum puts a change at the end of its step, so it comes within half a step: O(1/refinement)."""
    steps = np.arange(200.0, 501.0, 5.0)
    level = (1.5 + np.cos((steps - 200) / 40)) / 2.5
    ours = laws.fsl_basis(laws.annealing(steps, 1e-3 * level, warmup=200), (0.4, 30.0, 0.7))
    errors = []
    for refined in (1, 2, 4, 8):
        fine = np.arange(200.0, 500.0 + 1e-9, 5.0 / refined)
        fine_level = np.interp(fine, steps, level)
        clock = 0.1 + np.concatenate([[0], np.cumsum((fine_level[1:] + fine_level[:-1]) / 2 * 5 / refined)]) / 1000
        errors.append(np.max(np.abs(printed_basis(clock, fine_level, 0.4, 30.0, 0.7)[::refined] - ours)))
    assert errors[0] < 0.05
    np.testing.assert_allclose(np.array(errors[:-1]) / errors[1:], 2, atol=0.4)


@pytest.mark.parametrize("name,values", [("fsl", (0.5, 20.0, 0.6)), ("mpl", (0.5, 10.0, 0.5, 0.6))])
def test_coarse_logs_cost_second_order(name, values):
    basis = laws.LAWS[name].basis
    fine = np.arange(1000.0, 9001.0)
    dense = basis(laws.annealing(fine, cosine(fine, 1000, 9000)), values)
    errors = []
    for every in (400, 200, 100):
        rows = fine[::every]
        coarse = basis(laws.annealing(rows, cosine(rows, 1000, 9000)), values)
        errors.append(np.max(np.abs(coarse - dense[::every])))
    assert errors[-1] < 2e-4
    assert errors[0] / errors[1] > 3 and errors[1] / errors[2] > 3


def test_a_sudden_drop_between_rows_sits_in_the_middle():
    rows = np.arange(100.0, 2100.0, 100.0)
    rates = np.where(rows <= 1000, 1.0, 0.1)
    seen = laws.annealing(rows, rates)
    assert seen.drops.sum() == pytest.approx(0.9)
    # 50 (warm-up) + 900 to the last row before it, then the mean over the interval of int_0^x (1 - 0.9 u) du x 100
    centre = np.sum(seen.drops * seen.change_times) / 0.9
    assert centre == pytest.approx((50 + 900 + 100 * (1 / 2 - 0.9 / 6)) / 1000, rel=1e-12)


def test_warmup_counts_in_the_clock_and_is_no_source():
    steps = np.arange(0.0, 1001.0, 10.0)
    rates = np.minimum(steps / 200, 1.0) * 0.01
    seen = laws.annealing(steps, rates)
    assert laws.warmup_rows(rates) == 20 and seen.drops.size == 0
    assert seen.times[-1] == pytest.approx((0.01 * 100 + 0.01 * 800) / (0.01 * 1000))
    cut = steps >= 200
    for warmup in (None, 200):   # a log that starts after the warm-up, and one that is told its length
        np.testing.assert_allclose(laws.annealing(steps[cut], rates[cut], warmup=warmup).times, seen.times[cut])
    later = steps >= 500
    np.testing.assert_allclose(laws.annealing(steps[later], rates[later], warmup=200).times, seen.times[later])
    assert laws.annealing(steps[cut], rates[cut], warmup=0).times[0] == pytest.approx(0.2)
    assert laws.warmup_rows([1, 1, 2]) == 0 and laws.warmup_rows([1, 2, 2]) == 1 and laws.warmup_rows([1, 2, 3]) == 2


def test_batch_size_divides_the_noise_and_not_the_clock():
    steps, batch = np.arange(100.0, 1100.0, 100.0), np.repeat([32.0, 64.0], 5)
    seen = laws.annealing(steps, np.full(10, 0.1), batch)
    assert seen.drops.sum() == pytest.approx(0.5)
    np.testing.assert_allclose(np.diff(seen.times), 0.1)
    halved = laws.annealing(steps, np.repeat([0.1, 0.05], 5))
    np.testing.assert_allclose(seen.drops, halved.drops)
    assert seen.times[-1] > halved.times[-1]


def test_another_peak_is_a_change_at_the_first_row():
    steps = np.arange(100.0, 1100.0, 100.0)
    seen = laws.annealing(steps, np.full(10, 0.2), reference_rate=0.1)
    np.testing.assert_allclose(seen.drops, [-1.0])
    np.testing.assert_allclose(seen.change_times, seen.times[:1])
    louder = laws.LAWS["fsl"](seen, (0.5, 10.0, 0.5), (1, 1, 1, 0))
    quieter = laws.LAWS["fsl"](laws.annealing(steps, np.full(10, 0.2)).at(seen.times), (0.5, 10.0, 0.5), (1, 1, 1, 0))
    assert np.all(louder[1:] > quieter[1:])


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(1e-6, 1e6), seed=st.integers(0, 1000))
def test_the_unit_of_the_rate_does_not_matter(factor, seed):
    rng = np.random.default_rng(seed)
    steps, rates = np.cumsum(rng.integers(1, 50, 30)).astype(float), 0.5 + rng.random(30)
    for law, values in ((laws.law("fsl"), (0.5, 20.0, 0.6)), (laws.law("mpl"), (0.5, 10.0, 0.5, 0.6))):
        ours = law.basis(laws.annealing(steps, rates, warmup=0), values)
        np.testing.assert_allclose(law.basis(laws.annealing(steps, rates * factor, warmup=0), values), ours,
                                   rtol=1e-8, atol=1e-10)


def test_merging_changes_is_second_order():
    steps = np.arange(1000.0, 9001.0, 8.0)
    seen = laws.annealing(steps, cosine(steps, 1000, 9000))
    rows = seen.at(seen.times[::50])
    exact = laws.fsl_basis(rows, (0.5, 20.0, 0.6))
    errors = [np.max(np.abs(laws.fsl_basis(rows.merged(count), (0.5, 20.0, 0.6)) - exact)) for count in (50, 100, 200)]
    assert errors[-1] < 2e-4 and errors[0] > 3 * errors[1] > 9 * errors[2] / 1.5
    assert rows.merged(10**6) is rows
    assert rows.merged(7).drops.sum() == pytest.approx(seen.drops.sum())


def test_relations_between_the_laws():
    steps = np.arange(1000.0, 9001.0, 100.0)
    seen = laws.annealing(steps, cosine(steps, 1000, 9000))
    fsl, mpl, blind = laws.law("fsl"), laws.law("mpl"), laws.law("blind")
    # without a dependence on the level the multi-power law is the other with c2 = 0
    np.testing.assert_allclose(mpl(seen, (0.5, 20.0, 0.0, 0.6), (3, 1, 0.2)),
                               fsl(seen, (0.5, 20.0, 0.6), (3, 1, 0.2, 0)))
    np.testing.assert_allclose(fsl(seen, (0.5, 20.0, 0.6), (3, 1, 0, 0)), blind(seen, (0.5,), (3, 1)))
    reduced = fsl.reduced()
    assert reduced.held == ("c2",) and not reduced.optional
    assert not reduced.basis(seen, (0.5, 20.0, 0.6))[:, 3].any()
    assert np.all(fsl(seen, (0.5, 20.0, 0.6), (3, 1, 0.2, 0))[1:] < blind(seen, (0.5,), (3, 1))[1:])
    zero_end = laws.annealing(steps, np.maximum(cosine(steps, 1000, 9000) - 3e-5, 0))
    assert np.all(np.isfinite(mpl(zero_end, (0.5, 20.0, 2.0, 0.6), (3, 1, 0.2))))


def test_bad_arguments_of_the_laws():
    steps = np.arange(100.0, 1100.0, 100.0)
    with pytest.raises(ValueError, match="law is 'x'; it must be one of fsl, mpl, blind"):
        laws.law("x")
    with pytest.raises(ValueError, match="1 row.*after the warm-up; at least 2"):
        laws.annealing(steps, steps)
    with pytest.raises(ValueError, match="0 row.*after the warm-up"):
        laws.annealing(steps, steps, warmup=2000)
    with pytest.raises(ValueError, match="reference rate is 0.0; it must be > 0"):
        laws.annealing(steps, np.zeros(10))
    with pytest.raises(ValueError, match="reference batch size is nan"):
        laws.annealing(steps, np.ones(10), reference_batch=np.nan)
