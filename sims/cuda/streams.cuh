// The random numbers of sims/streams.py, bit for bit; the layout, the transforms and their accuracy are stated there.
//
// Every float32 operation is one correctly rounded instruction, in the same order as on the CPU.  The intrinsics are
// never contracted or reassociated, whatever flags a compiler is given.

#ifndef THEORYCHECK_STREAMS
#define THEORYCHECK_STREAMS

#ifndef __CUDACC__
#include "host.h"
#else
#define EXPORT(kernel)
#define DYNAMIC_SHARED(name) extern __shared__ double name[]
#endif

typedef unsigned int u32;
typedef unsigned long long u64;

struct Words { u32 w[4]; };
struct Pair { float x, z; };

// -- integers

__device__ __forceinline__ Words philox(u32 c0, u32 c1, u32 c2, u32 c3, u32 k0, u32 k1)
{
#pragma unroll
    for (int round = 0; round < 10; ++round) {
        const u64 p0 = (u64)0xD2511F53u * c0, p1 = (u64)0xCD9E8D57u * c2;
        c0 = (u32)(p1 >> 32) ^ c1 ^ k0;
        c2 = (u32)(p0 >> 32) ^ c3 ^ k1;
        c1 = (u32)p1;
        c3 = (u32)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    return {{c0, c1, c2, c3}};
}

__device__ __forceinline__ Words block_of(u64 key, u32 replica, u64 step, u32 index, u32 purpose)
{
    const u32 tag = (u32)(step >> 32) | (purpose << 24);
    return philox(index, (u32)step, replica, tag, (u32)key, (u32)(key >> 32));
}

// -- from words to numbers

__device__ __forceinline__ float mul(float a, float b) { return __fmul_rn(a, b); }
__device__ __forceinline__ float add(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ float fma32(float a, float x, float b) { return __fmaf_rn(a, x, b); }

__device__ __forceinline__ float open_uniform(u32 word)
{
    const float u = add(mul((float)word, 0x1p-32f), 0x1p-33f), last = 1.0f - 0x1p-24f;
    return u < last ? u : last;
}

__device__ __forceinline__ double open_uniform64(u32 high, u32 low)
{
    const u64 n = ((u64)high << 20) | (low >> 12);
    return __dmul_rn(__dadd_rn((double)(long long)n, 0.5), 0x1p-52);
}

__device__ __forceinline__ float minus_log(u32 word)
{
    const float u = fma32((float)word, 0x1p-32f, 0x1p-33f);
    const int bits = __float_as_int(u) - 0x3F3504F3, exponent = bits & -0x00800000;
    const float far = add(__int_as_float(__float_as_int(u) - exponent), -1.0f);
    const float f = bits >= 0 ? fma32((float)(int)~word, -0x1p-32f, -0x1p-33f) : far;
    float p = fma32(-0.0763418898f, f, 0.1276180000f);
    p = fma32(p, f, -0.1316058040f);
    p = fma32(p, f, 0.1420181542f);
    p = fma32(p, f, -0.1662330478f);
    p = fma32(p, f, 0.2000121623f);
    p = fma32(p, f, -0.2500082254f);
    p = fma32(p, f, 0.3333333135f);
    p = fma32(p, f, -0.5f);
    return fma32((float)exponent, -0.693147181f * 0x1p-23f, -fma32(p, mul(f, f), f));
}

__device__ __forceinline__ Pair cos_sin_turn(u32 word)
{
    const u32 a = word + 0x20000000u, b = word + 0x60000000u;
    const float t = mul((float)(int)((word << 2) | 2u), 0x1p-32f), y = mul(t, t);
    float s = fma32(-0.00460166251f, y, 0.0796800330f);
    s = fma32(s, y, -0.645963490f);
    s = mul(fma32(s, y, 1.57079637f), t);
    float c = fma32(0.000903971959f, y, -0.0208602659f);
    c = fma32(c, y, 0.253669232f);
    c = fma32(c, y, -1.23370051f);
    c = fma32(c, y, 1.0f);
    const bool swap = a & 0x40000000u;
    const float x = swap ? s : c, z = swap ? c : s;
    return {__uint_as_float(__float_as_uint(x) ^ (b & 0x80000000u)),
            __uint_as_float(__float_as_uint(z) ^ (a & 0x80000000u))};
}

__device__ __forceinline__ Pair normal_pair(u32 radius_word, u32 angle_word)
{
    const float radius = __fsqrt_rn(mul(2.0f, minus_log(radius_word)));
    const Pair turn = cos_sin_turn(angle_word);
    return {mul(radius, turn.x), mul(radius, turn.z)};
}

__device__ __forceinline__ float laplace(u32 word)
{
    const float magnitude = mul(0.707106781f, minus_log(word & 0xFFFFFFFEu));
    return __uint_as_float(__float_as_uint(magnitude) ^ (word << 31));
}

__device__ __forceinline__ float symmetric_uniform(u32 word)
{
    return mul((float)(int)(word | 1u), (float)(1.7320508075688772 * 0x1p-31));
}

__device__ __forceinline__ float rademacher(u32 word)
{
    return __uint_as_float((word & 0x80000000u) | 0x3F800000u);
}

// Four variates of a law: 0 normal, 1 Rademacher, 2 uniform, 3 Laplace (the codes of sims/fsl/kernels.py).
__device__ __forceinline__ void variates(int law, const Words& words, float* out)
{
    if (law == 0) {
        const Pair a = normal_pair(words.w[0], words.w[1]), b = normal_pair(words.w[2], words.w[3]);
        out[0] = a.x;
        out[1] = a.z;
        out[2] = b.x;
        out[3] = b.z;
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; ++i)
        out[i] = law == 1 ? rademacher(words.w[i]) : law == 2 ? symmetric_uniform(words.w[i]) : laplace(words.w[i]);
}

#endif
