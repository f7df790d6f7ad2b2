r"""Random numbers as functions: every draw is determined by (seed, experiment, replica, step, index).

Philox4x32-10 (Salmon, Moraes, Dror and Shaw, *Parallel random numbers: as easy as 1, 2, 3*, SC 2011) maps a
128-bit counter and a 64-bit key to four 32-bit words, one-to-one in the counter.  Nothing is stored between draws, so
a result cannot depend on the order of the work, on how it was cut into pieces, or on the machine that did a piece.

Layout::

    key       = splitmix64(seed) xor blake2b_64(experiment)        one-to-one in the 64-bit seed
    counter 0 = block           draws 4 block, ..., 4 block + 3    0 <= block   < 2^32
    counter 1 = step            low 32 bits                        0 <= step    < 2^56
    counter 2 = replica                                            0 <= replica < 2^32
    counter 3 = step's high 24 bits + 2^24 purpose                 0 <= purpose < 2^8

Two different (purpose, replica, step, block) never share a counter, two seeds of one experiment never share a key,
and two experiments share a key with probability 2^-64.  *Purpose* keeps apart what one replica needs at one
step for different ends (features, label noise, ...).

Transforms.  A word w is read as follows, all in float32 and by additions, multiplications, fused multiply-adds,
square roots, integer operations and int-to-float conversions only, each correctly rounded by IEEE 754, in the order
written, with a fused operation exactly where :func:`theorycheck.sims.arithmetic.fma32` stands: the same bits come out
of any compiler that keeps to that (``-ffp-contract=off`` and ``fmaf``, ``-fmad=false`` and ``__fmaf_rn``).

    open uniform     u = (w + 1/2) 2^-32, at most 1 - 2^-24: rounded to 24 bits *relative to u*, so that the small
                     tail is exact to its last bit, down to 2^-33
    normal pair      sqrt(-2 log u(w_0)) (cos, sin)(2 pi (w_1 + 1/2) 2^-32)                    (Box-Muller)
    Laplace          -+ log(u)/sqrt 2, u from 31 bits, sign from the lowest              (variance 1, kurtosis 6)
    symmetric        sqrt 3 times an odd integer in (-2^31, 2^31) over 2^31            (variance 1, kurtosis 1.8)
    Rademacher       the highest bit                                                     (variance 1, kurtosis 1)

The logarithm splits u = 2^e m, sqrt(1/2) <= m < sqrt 2, and uses f - f^2/2 + f^3 P_7(f), f = m - 1; next to u = 1 it
takes f from the complement of w, so small radii keep their relative accuracy too.  Sine and cosine are polynomials on
an eighth of a turn either side of the nearest quarter turn.  Coefficients: minimax by linear programming on Chebyshev
nodes (derived; errors before rounding 6e-9 relative, 4e-9 relative, 5e-11 absolute).  Accuracy against the exact
functions of the words: the logarithm is within 2.498 units in the last place (all 2^32 words tried), cosine and sine
within 1.1e-7 absolute, a normal within 2.2e-7 times its radius.  Normals reach +-6.76, which is where the two
words run out; P(|z| > 6.76) = 1.4e-11.
"""

import hashlib
import math

import numpy as np
from numba import njit

from ..theory.arguments import shown
from .arithmetic import fma32

MAX_SEED = 2**64
"""Seeds are integers in [0, 2^64)."""
MAX_REPLICA = 2**32
"""Replicas are integers in [0, 2^32)."""
MAX_STEP = 2**56
"""Steps are integers in [0, 2^56)."""
MAX_INDEX = 2**34
"""Indices of draws within a step are integers in [0, 2^34)."""
MAX_PURPOSE = 2**8
"""Purposes are integers in [0, 2^8)."""

# Inlined before type inference: compiled as functions of their own, LLVM keeps the calls and vectorises nothing.
# A kernel's cache on disk follows its own file only: after a change here, touch the files of the kernels.

# -- integers ----------------------------------------------------------------------------------------------------


@njit(inline="always", cache=True)
def philox(c0, c1, c2, c3, k0, k1):
    """Philox4x32-10: four uint32 words from four uint32 counter words and two uint32 key words."""
    for _ in range(10):
        p0 = np.uint64(0xD2511F53) * np.uint64(c0)
        p1 = np.uint64(0xCD9E8D57) * np.uint64(c2)
        c0 = np.uint32(np.uint32(p1 >> np.uint64(32)) ^ c1 ^ k0)
        c2 = np.uint32(np.uint32(p0 >> np.uint64(32)) ^ c3 ^ k1)
        c1 = np.uint32(p1)
        c3 = np.uint32(p0)
        k0 = np.uint32(k0 + np.uint32(0x9E3779B9))
        k1 = np.uint32(k1 + np.uint32(0xBB67AE85))
    return c0, c1, c2, c3


@njit(inline="always", cache=True)
def block(key, replica, step, index, purpose):
    """The four words of one counter: draws 4 index, ..., 4 index + 3 of (purpose, replica, step)."""
    key = np.uint64(key)
    step = np.uint64(step)
    tag = np.uint32((step >> np.uint64(32)) | (np.uint64(purpose) << np.uint64(24)))
    return philox(np.uint32(index), np.uint32(step), np.uint32(replica), tag,
                  np.uint32(key), np.uint32(key >> np.uint64(32)))


# -- from words to numbers ---------------------------------------------------------------------------------------


@njit(inline="always", cache=True)
def open_uniform(word):
    """uint32 word to float32 in (0, 1): ``(w + 1/2) 2^-32``, at most ``1 - 2^-24``."""
    u = np.float32(word) * np.float32(2.0**-32) + np.float32(2.0**-33)
    return min(u, np.float32(1.0 - 2.0**-24))


@njit(inline="always", cache=True)
def open_uniform64(high, low):
    """Two uint32 words to float64 in (0, 1): ``(n + 1/2) 2^-52``, n of 52 bits, exactly."""
    n = (np.uint64(high) << np.uint64(20)) | (np.uint64(low) >> np.uint64(12))
    return (np.float64(np.int64(n)) + 0.5) * 2.0**-52


@njit(inline="always", cache=True)
def minus_log(word):
    """``-log u`` with ``u = (w + 1/2) 2^-32``, float32, branch-free, within 2.5 units in the last place."""
    word = np.uint32(word)
    u = fma32(np.float32(word), np.float32(2.0**-32), np.float32(2.0**-33))
    bits = np.int32(np.float32(u).view(np.int32) - np.int32(0x3F3504F3))
    exponent = np.int32(bits & np.int32(-0x00800000))                                       # e 2^23
    f = np.int32(np.float32(u).view(np.int32) - exponent).view(np.float32) - np.float32(1.0)
    # Above sqrt(1/2), u - 1 from the complement keeps its relative accuracy as u nears 1; it is below 2^31 there, and
    # not every processor converts unsigned integers in one instruction.
    near_one = fma32(np.float32(np.int32(np.uint32(~word))), np.float32(-(2.0**-32)), np.float32(-(2.0**-33)))
    f = near_one if bits >= np.int32(0) else f
    p = fma32(np.float32(-0.0763418898), f, np.float32(0.1276180000))
    p = fma32(p, f, np.float32(-0.1316058040))
    p = fma32(p, f, np.float32(0.1420181542))
    p = fma32(p, f, np.float32(-0.1662330478))
    p = fma32(p, f, np.float32(0.2000121623))
    p = fma32(p, f, np.float32(-0.2500082254))
    p = fma32(p, f, np.float32(0.3333333135))
    p = fma32(p, f, np.float32(-0.5))
    return fma32(np.float32(exponent), np.float32(-0.693147181 * 2.0**-23), -fma32(p, f * f, f))


@njit(inline="always", cache=True)
def cos_sin_turn(word):
    """Cosine and sine of ``2 pi (w + 1/2) 2^-32``, float32, branch-free, within 1.1e-7."""
    word = np.uint32(word)
    # The nearest quarter turn is in the two highest bits of a; b is a quarter turn further on.
    a, b = np.uint32(word + np.uint32(0x20000000)), np.uint32(word + np.uint32(0x60000000))
    t = np.float32(np.int32(np.uint32(np.uint32(word << np.uint32(2)) | np.uint32(2)))) * np.float32(2.0**-32)
    y = t * t
    s = fma32(np.float32(-0.00460166251), y, np.float32(0.0796800330))
    s = fma32(s, y, np.float32(-0.645963490))
    s = fma32(s, y, np.float32(1.57079637)) * t
    c = fma32(np.float32(0.000903971959), y, np.float32(-0.0208602659))
    c = fma32(c, y, np.float32(0.253669232))
    c = fma32(c, y, np.float32(-1.23370051))
    c = fma32(c, y, np.float32(1.0))
    swap = np.uint32(a & np.uint32(0x40000000)) != np.uint32(0)
    x = s if swap else c
    z = c if swap else s
    return (np.uint32(np.float32(x).view(np.uint32) ^ np.uint32(b & np.uint32(0x80000000))).view(np.float32),
            np.uint32(np.float32(z).view(np.uint32) ^ np.uint32(a & np.uint32(0x80000000))).view(np.float32))


@njit(inline="always", cache=True)
def normal_pair(radius_word, angle_word):
    """Two independent standard normals (float32) from two words: Box-Muller."""
    radius = np.float32(math.sqrt(np.float32(2.0) * minus_log(radius_word)))
    x, z = cos_sin_turn(angle_word)
    return radius * x, radius * z


@njit(inline="always", cache=True)
def normal_block(w0, w1, w2, w3):
    """Four standard normals (float32) from four words: pairs (w0, w1) and (w2, w3)."""
    a, b = normal_pair(w0, w1)
    c, d = normal_pair(w2, w3)
    return a, b, c, d


@njit(inline="always", cache=True)
def laplace(word):
    """Laplace variate (float32) of mean 0, variance 1, kurtosis 6; the lowest bit is the sign."""
    magnitude = np.float32(0.707106781) * minus_log(np.uint32(word & np.uint32(0xFFFFFFFE)))
    sign = np.uint32(np.uint32(word) << np.uint32(31))
    return np.uint32(np.float32(magnitude).view(np.uint32) ^ sign).view(np.float32)


@njit(inline="always", cache=True)
def symmetric_uniform(word):
    """Uniform variate (float32) on (-sqrt 3, sqrt 3): mean 0, variance 1, kurtosis 1.8, never zero."""
    return np.float32(np.int32(np.uint32(word) | np.uint32(1))) * np.float32(1.7320508075688772 * 2.0**-31)


@njit(inline="always", cache=True)
def rademacher(word):
    """+1 or -1 (float32) by the highest bit."""
    sign = np.uint32(np.uint32(word) & np.uint32(0x80000000))
    return np.uint32(sign | np.uint32(0x3F800000)).view(np.float32)


# -- arrays ------------------------------------------------------------------------------------------------------


def key(seed, experiment):
    """Return the 64-bit key of an experiment under a seed.

    Parameters
    ----------
    seed : int
        In [0, 2^64); one-to-one into keys for a fixed experiment.
    experiment : str
        Name of what the draws are for.  Two experiments of one name and seed see the same draws, which is
        how different parameters are compared on common random numbers.

    Returns
    -------
    int
        In [0, 2^64).

    Raises
    ------
    ValueError
        If the seed is not an integer in range or the experiment is not a non-empty string.
    """
    if np.ndim(seed):
        raise ValueError(f"seed is {shown(seed)}; it must be a single integer")
    seed = _integer(seed, "seed", MAX_SEED)
    if not isinstance(experiment, str) or not experiment:
        raise ValueError(f"experiment is {shown(experiment)}; it must be a non-empty string")
    mask = MAX_SEED - 1
    x = (seed + 0x9E3779B97F4A7C15) & mask
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & mask
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & mask
    x ^= x >> 31
    return x ^ int.from_bytes(hashlib.blake2b(experiment.encode(), digest_size=8).digest(), "little")


def words(key, replica, step, count, *, first=0, purpose=0):
    """Return the raw 32-bit words of draws ``first, ..., first + count - 1``.

    Parameters
    ----------
    key : int
        From :func:`key`.
    replica, step : int or array_like of int
        In [0, 2^32) and [0, 2^56); broadcast against each other to a shape S.
    count : int
        Draws per (replica, step), >= 0.
    first : int
        Index of the first draw; ``first + count`` at most 2^34.
    purpose : int
        In [0, 2^8): draws of different purposes are independent.

    Returns
    -------
    ndarray of uint32, shape S + (count,)

    Raises
    ------
    ValueError
        For anything out of range.
    """
    return _draw(_as_they_are, np.uint32, key, replica, step, count, first, purpose)


def uniforms(key, replica, step, count, *, first=0, purpose=0, dtype=np.float32):
    """Return uniforms on (0, 1), ends excluded.  Parameters, shape and errors as in :func:`words`.

    ``dtype`` is float32 (draw i reads word i, relative precision 2^-24, smallest 2^-33) or float64 (draw i reads
    words 2 i and 2 i + 1, the 2^52 midpoints of cells of width 2^-52).
    """
    dtype = np.dtype(dtype)
    if dtype == np.float32:
        return _draw(_uniforms, np.float32, key, replica, step, count, first, purpose)
    if dtype != np.float64:
        raise ValueError(f"dtype is {dtype}; it must be float32 or float64")
    first, count = _integer(first, "first", MAX_INDEX // 2), _integer(count, "count", MAX_INDEX // 2)
    pairs = words(key, replica, step, 2 * count, first=2 * first, purpose=purpose)
    return _pairs_to_uniforms(pairs.reshape(-1)).reshape(pairs.shape[:-1] + (count,))


def normals(key, replica, step, count, *, first=0, purpose=0):
    """Return standard normals (float32).  Parameters, shape and errors as in :func:`words`."""
    return _draw(_normals, np.float32, key, replica, step, count, first, purpose)


def laplaces(key, replica, step, count, *, first=0, purpose=0):
    """Return Laplace variates (float32), mean 0, variance 1, kurtosis 6.  Parameters as in :func:`words`."""
    return _draw(_laplaces, np.float32, key, replica, step, count, first, purpose)


def rademachers(key, replica, step, count, *, first=0, purpose=0):
    """Return +1 or -1 (float32) with probability 1/2 each.  Parameters as in :func:`words`."""
    return _draw(_rademachers, np.float32, key, replica, step, count, first, purpose)


def symmetric_uniforms(key, replica, step, count, *, first=0, purpose=0):
    """Return uniforms on (-sqrt 3, sqrt 3) (float32): variance 1, kurtosis 1.8.  Parameters as in :func:`words`."""
    return _draw(_symmetric, np.float32, key, replica, step, count, first, purpose)


def _integer(value, name, limit):
    array = np.asarray(value)
    if array.dtype == object:
        array = np.asarray(value, dtype=object)
        whole = all(isinstance(v, int) for v in array.ravel())
    else:
        whole = np.issubdtype(array.dtype, np.integer)
    if not whole:
        raise ValueError(f"{name} is {shown(value)}; it must be an integer in [0, 2^{limit.bit_length() - 1})")
    for v in (array.min(), array.max()) if array.size else ():
        if not 0 <= v < limit:
            raise ValueError(f"{name} is {v}; it must be in [0, 2^{limit.bit_length() - 1})")
    return int(value) if array.ndim == 0 else array.astype(np.uint64)


def _draw(transform, dtype, key, replica, step, count, first, purpose):
    for name, value in (("key", key), ("purpose", purpose), ("first", first), ("count", count)):
        if np.ndim(value):
            raise ValueError(f"{name} is {shown(value)}; it must be a single integer")
    key = np.uint64(_integer(key, "key", MAX_SEED))
    replica = np.asarray(_integer(replica, "replica", MAX_REPLICA), dtype=np.uint64)
    step = np.asarray(_integer(step, "step", MAX_STEP), dtype=np.uint64)
    purpose = np.uint64(_integer(purpose, "purpose", MAX_PURPOSE))
    first, count = _integer(first, "first", MAX_INDEX), _integer(count, "count", MAX_INDEX)
    if first + count > MAX_INDEX:
        raise ValueError(f"first + count is {first + count}; it must be at most 2^34")
    replica, step = np.broadcast_arrays(replica, step)
    start = first // 4
    blocks = -(-(first + count) // 4) - start
    raw = np.empty((replica.size, blocks, 4), dtype=np.uint32)
    _words(key, replica.flatten(), step.flatten(), start, purpose, raw)
    out = np.empty((replica.size, 4 * blocks), dtype=dtype)
    transform(raw.reshape(-1), out.reshape(-1))
    offset = first - 4 * start
    return np.ascontiguousarray(out[:, offset:offset + count]).reshape(replica.shape + (count,))


@njit(cache=True)
def _words(key, replica, step, start, purpose, out):
    for row in range(out.shape[0]):
        for b in range(out.shape[1]):
            words = block(key, replica[row], step[row], start + b, purpose)
            out[row, b, 0], out[row, b, 1], out[row, b, 2], out[row, b, 3] = words


@njit(cache=True)
def _as_they_are(raw, out):
    for i in range(raw.size):
        out[i] = raw[i]


@njit(cache=True)
def _normals(raw, out):
    for i in range(raw.size // 2):
        out[2 * i], out[2 * i + 1] = normal_pair(raw[2 * i], raw[2 * i + 1])


@njit(cache=True)
def _uniforms(raw, out):
    for i in range(raw.size):
        out[i] = open_uniform(raw[i])


@njit(cache=True)
def _laplaces(raw, out):
    for i in range(raw.size):
        out[i] = laplace(raw[i])


@njit(cache=True)
def _symmetric(raw, out):
    for i in range(raw.size):
        out[i] = symmetric_uniform(raw[i])


@njit(cache=True)
def _rademachers(raw, out):
    for i in range(raw.size):
        out[i] = rademacher(raw[i])


@njit(cache=True)
def _pairs_to_uniforms(pairs):
    out = np.empty(pairs.size // 2)
    for i in range(out.size):
        out[i] = open_uniform64(pairs[2 * i], pairs[2 * i + 1])
    return out
