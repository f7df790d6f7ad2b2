// Random numbers into memory, and as fast as they come.

#include "streams.cuh"

// Read words as numbers, four at a time.  Codes 0..3 are laws; 4 open uniforms, 5 the words themselves,
// 6 minus the logarithm, 7 cosine and sine of words 1 and 3 (words 0 and 2 are not read).
__device__ __forceinline__ void read_words(int code, const Words& words, float* out)
{
    if (code <= 3)
        variates(code, words, out);
    else if (code == 7) {
        const Pair a = cos_sin_turn(words.w[1]), b = cos_sin_turn(words.w[3]);
        out[0] = a.x;
        out[1] = a.z;
        out[2] = b.x;
        out[3] = b.z;
    } else
        for (int i = 0; i < 4; ++i)
            out[i] = code == 4 ? open_uniform(words.w[i])
                     : code == 5 ? __uint_as_float(words.w[i]) : minus_log(words.w[i]);
}

// words (blocks, 4) to out (blocks, 4).
extern "C" __global__ void transform(int code, const u32* words, long long blocks, float* out)
{
    const long long b = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (b < blocks)
        read_words(code, {{words[4 * b], words[4 * b + 1], words[4 * b + 2], words[4 * b + 3]}}, out + 4 * b);
}
EXPORT(transform)

// words (count, 2) to out (count,).
extern "C" __global__ void uniform64(const u32* words, long long count, double* out)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i < count)
        out[i] = open_uniform64(words[2 * i], words[2 * i + 1]);
}
EXPORT(uniform64)

// Blocks first, ..., first + blocks - 1 of (purpose, step) for consecutive replicas, out (replicas, blocks, 4).
extern "C" __global__ void draw(int code, u64 key, u32 replica, u64 step, u32 first, u32 purpose, long long blocks,
                                long long replicas, float* out)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= blocks * replicas)
        return;
    const u32 row = (u32)(i / blocks), block = (u32)(i % blocks);
    read_words(code, block_of(key, replica + row, step, first + block, purpose), out + 4 * i);
}
EXPORT(draw)

// Draw 4 rounds normals per thread and keep their sum only: what the arithmetic alone costs.
extern "C" __global__ void sum_of_normals(u64 key, long long rounds, float* out)
{
    const u32 replica = blockIdx.x * blockDim.x + threadIdx.x;
    float z[4], sum = 0.0f;
    for (long long k = 0; k < rounds; ++k) {
        variates(0, block_of(key, replica, (u64)k, 0, 0), z);
        sum = add(sum, add(add(z[0], z[1]), add(z[2], z[3])));
    }
    out[replica] = sum;
}
EXPORT(sum_of_normals)
