"""The random streams: known answers, accuracy of the transforms, laws, independence, order of the work."""

import itertools
import math
import os
import subprocess
import sys
from fractions import Fraction

import mpmath
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit
from scipy import special

from theorycheck.sims import arithmetic, streams

KEY = streams.key(2026, "tests")
Z_LIMIT = 5.0
"""Two-sided false-alarm probability of one z-score: 6e-7."""

KNOWN = [
    ((0, 0, 0, 0), (0, 0), "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, "408f276d 41c83b0e a20bc7c6 6d5451fd"),
    ((0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344), (0xA4093822, 0x299F31D0), "d16cfe09 94fdcceb 5001e420 24126ea1"),
]


def philox_reference(counter, key):
    """Philox4x32-10 on Python integers, as printed in the paper."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & 0xFFFFFFFF, (a >> 32) ^ c3 ^ k1, a & 0xFFFFFFFF
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return c0, c1, c2, c3


@njit
def minus_logs(words):
    out = np.empty(words.size, np.float32)
    for i in range(words.size):
        out[i] = streams.minus_log(words[i])
    return out


@njit
def circle(words):
    out = np.empty((2, words.size), np.float32)
    for i in range(words.size):
        out[0, i], out[1, i] = streams.cos_sin_turn(words[i])
    return out


@njit
def pairs(radius, angle):
    out = np.empty((2, radius.size), np.float32)
    for i in range(radius.size):
        out[0, i], out[1, i] = streams.normal_pair(radius[i], angle[i])
    return out


def words_of_every_exponent(per_exponent):
    """Words w whose u = (w + 1/2) 2^-32 covers every exponent next to 0, and 1 - u every exponent next to 1."""
    generator = np.random.default_rng(5)
    low = [np.arange(1, dtype=np.int64)]
    for exponent in range(32):
        first, last = 2**exponent, 2 ** (exponent + 1) - 1
        inside = generator.integers(first, last + 1, per_exponent)
        low.append(np.concatenate([[first, last], inside]))
    low = np.unique(np.concatenate(low))
    return np.unique(np.concatenate([low, 2**32 - 1 - low])).astype(np.uint32)


# -- integers ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("counter, key, answer", KNOWN)
def test_published_known_answers(counter, key, answer):
    words = streams.philox(*(np.uint32(c) for c in counter), *(np.uint32(k) for k in key))
    assert [f"{int(word):08x}" for word in words] == answer.split()
    assert philox_reference(counter, key) == tuple(int(word) for word in words)


@settings(max_examples=50, deadline=None)
@given(replica=st.integers(0, 2**32 - 1), step=st.integers(0, 2**56 - 1), first=st.integers(0, 2**34 - 9),
       purpose=st.integers(0, 255), seed=st.integers(0, 2**64 - 1))
def test_words_follow_the_stated_layout(replica, step, first, purpose, seed):
    key = streams.key(seed, "layout")
    got = streams.words(key, replica, step, 9, first=first, purpose=purpose)
    for i, word in zip(range(first, first + 9), got):
        counter = (i // 4, step % 2**32, replica, step // 2**32 + 2**24 * purpose)
        assert int(word) == philox_reference(counter, (key % 2**32, key // 2**32))[i % 4]


def test_no_two_coordinates_share_a_counter():
    edges = {"block": (0, 1, 2**32 - 1), "step": (0, 1, 2**32 - 1, 2**32, 2**56 - 1),
             "replica": (0, 1, 2**32 - 1), "purpose": (0, 1, 255)}
    seen = set()
    for block, step, replica, purpose in itertools.product(*edges.values()):
        seen.add(streams.words(KEY, replica, step, 4, first=4 * block, purpose=purpose).tobytes())
    assert len(seen) == math.prod(len(values) for values in edges.values())


def test_keys_differ_between_seeds_and_experiments():
    seeds = [*range(2000), *(2**k for k in range(11, 64)), 2**64 - 1]
    keys = {streams.key(seed, name) for seed in seeds for name in ("a", "b", "fsl.sgd")}
    assert len(keys) == 3 * len(seeds)
    assert streams.key(0, "fsl.sgd") == 0x3DB88E121BE53BBD


# -- accuracy ----------------------------------------------------------------------------------------------------


def test_logarithm_over_all_exponents():
    words = words_of_every_exponent(60)
    got = minus_logs(words)
    with mpmath.workdps(30):
        for word, value in zip(words, got):
            exact = -mpmath.log((mpmath.mpf(int(word)) + 0.5) / 2**32)
            assert abs(float(value) - exact) <= 2.5 * float(np.spacing(np.float32(exact))), word


def test_cosine_and_sine_over_the_circle():
    corners = (np.arange(8)[:, None] * 2**29 + np.arange(-3, 4)).ravel() % 2**32
    words = np.concatenate([words_of_every_exponent(20), corners.astype(np.uint32)])
    got = circle(words)
    with mpmath.workdps(30):
        for word, cosine, sine in zip(words, *got):
            angle = 2 * mpmath.pi * (mpmath.mpf(int(word)) + 0.5) / 2**32
            assert abs(float(cosine) - mpmath.cos(angle)) <= 1.1e-7 and abs(float(sine) - mpmath.sin(angle)) <= 1.1e-7
    assert np.all(got != 0)


def test_normals_are_box_muller_in_both_tails():
    radius_words = words_of_every_exponent(12)
    angle_words = np.random.default_rng(6).integers(0, 2**32, radius_words.size).astype(np.uint32)
    got = pairs(radius_words, angle_words)
    with mpmath.workdps(30):
        for r, a, x, y in zip(radius_words, angle_words, *got):
            radius = mpmath.sqrt(-2 * mpmath.log((mpmath.mpf(int(r)) + 0.5) / 2**32))
            angle = 2 * mpmath.pi * (mpmath.mpf(int(a)) + 0.5) / 2**32
            assert abs(float(x) - radius * mpmath.cos(angle)) <= 2.2e-7 * radius
            assert abs(float(y) - radius * mpmath.sin(angle)) <= 2.2e-7 * radius
    assert float(np.abs(got).max()) < 6.77


def fused(a, x, b):
    """``a x + b`` of float32 arrays rounded once, in NumPy: the float64 sum rounded to odd, then to float32."""
    product, b = np.asarray(a, np.float64) * np.asarray(x, np.float64), np.asarray(b, np.float64)     # exact
    total = product + b
    of_b = total - product
    lost = (product - (total - of_b)) + (b - of_b)                                                      # Knuth's TwoSum
    even = (total.view(np.int64) & 1) == 0
    total = np.where((lost != 0) & even, np.nextafter(total, np.copysign(np.inf, lost)), total)
    return total.astype(np.float32)


def test_fused_means_rounded_once():
    """The compiled operation, and the NumPy version that judges the transforms, against rational arithmetic."""
    @njit
    def compiled(a, x, b):
        narrow, wide = np.empty(a.size, np.float32), np.empty(a.size)
        for i in range(a.size):
            narrow[i] = arithmetic.fma32(a[i], x[i], b[i])
            wide[i] = arithmetic.fma64(a64[i], x64[i], b64[i])
        return narrow, wide

    generator = np.random.default_rng(8)
    a64, x64 = generator.normal(size=(2, 3000))
    b64 = -a64 * x64 * (1 + generator.choice([0.0, 1e-9, 1e-3, 1e9], 3000) * generator.normal(size=3000))
    a, x, b = (array.astype(np.float32) for array in (a64, x64, b64))
    # halfway between two float32, but for a term far below the 53 bits of float64
    a, x, b = (np.append(array, np.float32(value)) for array, value in
               ((a, 1 + 2.0**-23), (x, 2.0**-24), (b, 1.0)))
    a, x, b = (np.append(array, np.float32(value)) for array, value in
               ((a, 1 + 2.0**-12), (x, 1 - 2.0**-12), (b, 2.0**-60)))
    a64, x64, b64 = (np.append(array, [value, value]) for array, value in ((a64, 0.1), (x64, 10.0), (b64, -1.0)))
    narrow, wide = compiled(a, x, b)
    twice = 0
    for i in range(a.size):
        exact = Fraction(float(a[i])) * Fraction(float(x[i])) + Fraction(float(b[i]))
        near = np.float32(float(exact))
        close = sorted((abs(Fraction(float(v)) - exact), int(v.view(np.int32)) & 1, float(v)) for v in
                       (near, np.nextafter(near, np.float32(-np.inf)), np.nextafter(near, np.float32(np.inf))))
        assert float(narrow[i]) == close[0][2]
        assert wide[i] == float(Fraction(a64[i]) * Fraction(x64[i]) + Fraction(b64[i]))
        twice += float(narrow[i]) != float(a[i] * x[i] + b[i])
    assert fused(a, x, b).tobytes() == narrow.tobytes()
    assert twice > 100                                       # rounding the product first would have been noticed


def test_every_operation_is_rounded_as_written():
    """NumPy, one float32 operation at a time, gives the same bits: nothing else was contracted or reassociated."""
    f32, words = np.float32, words_of_every_exponent(300)
    angle_words = np.random.default_rng(7).integers(0, 2**32, words.size).astype(np.uint32)
    u = fused(words.astype(f32), f32(2.0**-32), f32(2.0**-33))
    bits = u.view(np.int32) - np.int32(0x3F3504F3)
    exponent = bits & np.int32(-0x00800000)
    f = (u.view(np.int32) - exponent).view(f32) - f32(1)
    f = np.where(bits >= 0, fused((~words).astype(f32), f32(-(2.0**-32)), f32(-(2.0**-33))), f)
    p = np.full_like(f, f32(-0.0763418898))
    for coefficient in (0.1276180000, -0.1316058040, 0.1420181542, -0.1662330478, 0.2000121623, -0.2500082254,
                        0.3333333135, -0.5):
        p = fused(p, f, f32(coefficient))
    logarithm = fused(exponent.astype(f32), f32(-0.693147181 * 2.0**-23), -fused(p, f * f, f))
    assert logarithm.tobytes() == minus_logs(words).tobytes()
    quarter = (angle_words + np.uint32(2**29)) >> np.uint32(30)
    t = (((angle_words - (quarter << np.uint32(30))) << np.uint32(1)) | np.uint32(1)).view(np.int32).astype(f32)
    t *= f32(2.0**-31)
    y = t * t
    s = fused(fused(f32(-0.00460166251), y, f32(0.0796800330)), y, f32(-0.645963490))
    s = fused(s, y, f32(1.57079637)) * t
    c = fused(fused(f32(0.000903971959), y, f32(-0.0208602659)), y, f32(0.253669232))
    c = fused(fused(c, y, f32(-1.23370051)), y, f32(1))
    cosine = np.choose(quarter, [c, -s, -c, s])
    sine = np.choose(quarter, [s, c, -s, -c])
    assert np.stack([cosine, sine]).tobytes() == circle(angle_words).tobytes()
    radius = np.sqrt(f32(2) * logarithm)
    assert np.stack([radius * cosine, radius * sine]).tobytes() == pairs(words, angle_words).tobytes()


def test_processors_without_fused_operations_give_the_same_bits(tmp_path):
    """Compiled for the oldest x86-64, or what stands for it here, where the C library takes their place."""
    code = ("from theorycheck.sims import streams; print(streams.normals(1, 2, 3, 4001).tobytes().hex(), "
            "streams.laplaces(1, 2, 3, 41).tobytes().hex())")
    old = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300,
                         env={**os.environ, "NUMBA_CPU_NAME": "generic", "NUMBA_CPU_FEATURES": "",
                              "NUMBA_CACHE_DIR": str(tmp_path)})
    assert old.stdout.split() == [streams.normals(1, 2, 3, 4001).tobytes().hex(),
                                  streams.laplaces(1, 2, 3, 41).tobytes().hex()], old.stderr[-500:]


def test_uniforms_stay_inside_and_keep_relative_precision():
    @njit
    def of_words(words):
        out = np.empty(words.size, np.float32)
        for i in range(words.size):
            out[i] = streams.open_uniform(words[i])
        return out

    words = words_of_every_exponent(200)
    exact = (words.astype(np.float64) + 0.5) * 2.0**-32
    got = of_words(words).astype(np.float64)
    assert 0 < got.min() and got.max() < 1
    assert np.all(np.abs(got - exact) <= 2.0**-23 * exact)
    assert got.min() == 2.0**-33


def test_double_precision_uniforms_are_midpoints():
    u = streams.uniforms(KEY, 0, 0, 10_000, dtype=np.float64)
    cell = u * 2.0**52 - 0.5
    assert np.all(cell == np.floor(cell)) and 0 < u.min() and u.max() < 1
    words = streams.words(KEY, 0, 0, 20_000).astype(np.uint64).reshape(-1, 2)
    assert np.array_equal(cell.astype(np.uint64), (words[:, 0] << np.uint64(20)) | (words[:, 1] >> np.uint64(12)))


# -- laws --------------------------------------------------------------------------------------------------------

LAWS = {
    "normals": (streams.normals, lambda n: special.factorial2(n - 1) if n else 1.0),
    "laplaces": (streams.laplaces, lambda n: math.factorial(n) / 2 ** (n / 2)),
    "symmetric_uniforms": (streams.symmetric_uniforms, lambda n: 3 ** (n / 2) / (n + 1)),
}


@pytest.mark.parametrize("name", LAWS)
def test_moments_up_to_eight(name):
    draw, even = LAWS[name]
    x = draw(KEY, np.arange(40), 3, 100_000).astype(np.float64).ravel()
    for order in range(1, 9):
        mean = 0.0 if order % 2 else even(order)
        deviation = math.sqrt(even(2 * order) - mean**2)
        z = (np.mean(x**order) - mean) / (deviation / math.sqrt(x.size))
        assert abs(z) < Z_LIMIT, (order, z)


def test_moments_notice_a_wrong_variance():
    x = 1.003 * streams.normals(KEY, np.arange(40), 3, 100_000).astype(np.float64).ravel()
    assert abs(np.mean(x**2) - 1.0) / math.sqrt(2.0 / x.size) > Z_LIMIT


def test_rademacher_is_a_fair_sign():
    x = streams.rademachers(KEY, np.arange(10), 0, 100_000).astype(np.float64).ravel()
    assert set(np.unique(x)) == {-1.0, 1.0} and abs(x.sum()) / math.sqrt(x.size) < Z_LIMIT


def test_tail_probabilities_of_normals_on_both_sides():
    thresholds = np.array([1.0, 2.0, 3.0, 4.0, 4.5, 5.0, 5.3])
    counts, size = np.zeros((2, thresholds.size)), 0
    for replica in range(20):
        x = streams.normals(KEY, replica, 11, 2_000_000)
        counts += [[np.count_nonzero(x > t) for t in thresholds], [np.count_nonzero(x < -t) for t in thresholds]]
        size += x.size
    expected = size * special.ndtr(-thresholds)
    # Poisson tails, since the last thresholds expect only a few draws among the 4e7
    low, high = special.pdtr(counts, expected), special.pdtrc(counts - 1, expected)
    assert low.min() > 1e-7 and high.min() > 1e-7, counts / expected


def test_normals_and_laplaces_pass_kolmogorov_smirnov():
    normal = np.sort(streams.normals(KEY, np.arange(20), 5, 100_000).astype(np.float64).ravel())
    laplace = np.sort(streams.laplaces(KEY, np.arange(20), 5, 100_000).astype(np.float64).ravel())
    bent = np.where(laplace < 0, 0.5 * np.exp(math.sqrt(2) * laplace), 1 - 0.5 * np.exp(-math.sqrt(2) * laplace))
    grid = (np.arange(normal.size) + 0.5) / normal.size
    for cdf in (special.ndtr(normal), bent):
        assert special.kolmogorov(np.abs(cdf - grid).max() * math.sqrt(grid.size)) > 1e-6


# -- independence ------------------------------------------------------------------------------------------------


def correlation_score(a, b):
    a, b = a.astype(np.float64).ravel(), b.astype(np.float64).ravel()
    return float(a @ b) / math.sqrt(a.size)


def test_serial_correlation():
    x = streams.normals(KEY, 1, 1, 1_000_000).astype(np.float64)
    for lag in (1, 2, 3, 4, 5, 8, 32, 1000):
        assert abs(correlation_score(x[:-lag], x[lag:])) < Z_LIMIT, lag
        squares = (x**2 - 1.0) / math.sqrt(2.0)
        assert abs(correlation_score(squares[:-lag], squares[lag:])) < Z_LIMIT, lag


@pytest.mark.parametrize("other", [dict(replica=1), dict(replica=2**31), dict(step=1), dict(step=2**32),
                                   dict(purpose=1), dict(first=4_000_000), dict(key=streams.key(2027, "tests")),
                                   dict(key=streams.key(2026, "test"))], ids=str)
def test_neighbouring_streams_are_uncorrelated(other):
    base = dict(key=KEY, replica=0, step=0, count=1_000_000)
    a, b = streams.normals(**base), streams.normals(**{**base, **other})
    assert abs(correlation_score(a, b)) < Z_LIMIT
    assert abs(correlation_score(a**2 - 1, b**2 - 1)) < 2 * Z_LIMIT


def test_correlation_notices_a_shared_stream():
    a, b = streams.normals(KEY, 0, 0, 100_000), streams.normals(KEY, 1, 0, 100_000)
    assert correlation_score(a, b + 0.05 * a) > Z_LIMIT


# -- cutting the work --------------------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(cuts=st.lists(st.integers(0, 101), max_size=4),
       law=st.sampled_from(["words", "normals", "uniforms", "laplaces"]))
def test_same_bits_however_the_indices_are_cut(cuts, law):
    draw = getattr(streams, law)
    whole = draw(KEY, 7, 9, 101, first=3)
    edges = [0, *sorted(cuts), 101]
    pieces = [draw(KEY, 7, 9, b - a, first=3 + a) for a, b in zip(edges, edges[1:])]
    assert np.concatenate(pieces).tobytes() == whole.tobytes()


def test_broadcast_equals_one_by_one():
    replica, step = np.array([[0], [5]]), np.array([2, 3, 2**33])
    together = streams.normals(KEY, replica, step, 5)
    assert together.shape == (2, 3, 5)
    for i, j in np.ndindex(2, 3):
        assert np.array_equal(together[i, j], streams.normals(KEY, int(replica[i, 0]), int(step[j]), 5))


def test_bits_do_not_change_between_versions():
    bits = streams.normals(1, 2, 3, 5).view(np.uint32)
    assert bits.tolist() == [3199246667, 1047529441, 3216519469, 1070472703, 1055395980]
    assert streams.laplaces(1, 2, 3, 3).view(np.uint32).tolist() == [1031531209, 1059298442, 1070796478]


@pytest.mark.parametrize("call, message", [
    (lambda: streams.key(-1, "a"), r"seed is -1; it must be in \[0, 2\^64\)"),
    (lambda: streams.key(2**64, "a"), "seed is 18446744073709551616"),
    (lambda: streams.key(0.5, "a"), "seed is 0.5; it must be an integer"),
    (lambda: streams.key(0, ""), "experiment is ''"),
    (lambda: streams.normals(KEY, 2**32, 0, 1), r"replica is 4294967296; it must be in \[0, 2\^32\)"),
    (lambda: streams.normals(KEY, 0, 2**56, 1), r"step is .*\[0, 2\^56\)"),
    (lambda: streams.normals(KEY, [0, -2], 0, 1), "replica is -2"),
    (lambda: streams.normals(KEY, 0, 0, -1), "count is -1"),
    (lambda: streams.normals(KEY, 0, 0, 4, first=2**34 - 3),
     r"first \+ count is 17179869185; it must be at most 2\^34"),
    (lambda: streams.normals(KEY, 0, 0, 1, purpose=256), "purpose is 256"),
    (lambda: streams.uniforms(KEY, 0, 0, 1, dtype=np.int32), "dtype is int32; it must be float32 or float64"),
])
def test_out_of_range_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
