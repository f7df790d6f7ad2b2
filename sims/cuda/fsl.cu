// Mini-batch SGD on power-law regression (the model, the state and the draws of sims/fsl/kernels.py), fused.
//
// `threads` threads, a power of two up to 512, share a replica and hold its state in registers: thread t has the
// Philox blocks t BLOCKS, ..., t BLOCKS + BLOCKS - 1 of four neighbouring modes each.  The eigenvalues, which replicas
// have in common, are in shared memory (32 BLOCKS threads bytes, asked for at the launch).  A step draws the features,
// sums the residual over the replica (shuffles, and shared memory between warps), and applies the update at once.
//
// The sum over a replica is a binary tree over the blocks in their order, first within a thread, then across threads,
// so that the bits depend on the number of modes but not on how they were dealt to threads.  Within a block the order
// is that of the CPU, and so are the fused operations; compiled with -fmad=false there are no others.  Paths differ
// from the CPU's by the order of the sums over blocks only: with one block (up to four modes) not at all.

#include "streams.cuh"

#define FEATURES 0u
#define NOISE 1u
#define LARGEST 1e30
#define EVERYONE 0xFFFFFFFFu

// Sum over the `threads` neighbours of a replica, the same bits in all of them.  `partial` has room for two sums per
// warp of the block; they take turns, so that one barrier per sum is enough.
__device__ __forceinline__ double sum_over_replica(double sum, int threads, double (*partial)[32], int& turn)
{
    for (int hop = 1; hop < threads && hop < 32; hop *= 2)
        sum = sum + __shfl_xor_sync(EVERYONE, sum, hop);
    if (threads > 32) {
        const int warps = threads / 32, warp = threadIdx.x / 32;
        if (threadIdx.x % 32 == 0)
            partial[turn][warp] = sum;
        __syncthreads();
        sum = partial[turn][(warp & ~(warps - 1)) + (threadIdx.x & (warps - 1))];
        for (int hop = 1; hop < warps; hop *= 2)
            sum = sum + __shfl_xor_sync(EVERYONE, sum, hop);
        turn ^= 1;
    }
    return sum;
}

// Scalar product over one block, in the order of the CPU.
template <class T> __device__ __forceinline__ double dot(const double* p, const T* z)
{
    const double two = __fma_rn(p[1], (double)z[1], p[0] * (double)z[0]);
    return __fma_rn(p[3], (double)z[3], __fma_rn(p[2], (double)z[2], two));
}

template <int N> __device__ __forceinline__ double sum_of_blocks(const double* sums)
{
    return sum_of_blocks<N / 2>(sums) + sum_of_blocks<N / 2>(sums + N / 2);
}
template <> __device__ __forceinline__ double sum_of_blocks<1>(const double* sums) { return sums[0]; }

// Label noise: every lane draws a quad of samples, 4 x 32 samples (or 4 x threads) ahead in one go.
struct LabelNoise {
    float e[4];
    __device__ __forceinline__ float next(u64 key, u32 replica, u64 sample, int threads)
    {
        const int width = threads < 32 ? threads : 32;
        const u64 quad = sample >> 2;
        if ((sample & 3) == 0 && (quad & (u64)(width - 1)) == 0)
            variates(0, block_of(key, replica, quad + (threadIdx.x & (width - 1)), 0, NOISE), e);
        const float one = sample & 2 ? (sample & 1 ? e[3] : e[2]) : (sample & 1 ? e[1] : e[0]);
        return width > 1 ? __shfl_sync(EVERYONE, one, (int)(quad & (u64)(width - 1)), width) : one;
    }
};

// Parameters as in run_top of sims/fsl/kernels.py, except: `scales` (K,) are rates over batch sizes; eigenvalues and
// start have 4 BLOCKS threads entries, zero in the padding; `floor` is delta_M, the part of the risk that stays; out
// (count, T) and died (count,) are written throughout, for the replicas `first`, ..., `first + count - 1`.
template <int BLOCKS, bool BATCHED>
__device__ __forceinline__ void descend(int law, u64 key, u64 first, long long count, int threads, const double* scales,
                                        const long long* sizes, long long steps, const double* eigenvalues,
                                        const double* start, double noise, double floor, const long long* recorded,
                                        long long records, double* out, long long* died)
{
    DYNAMIC_SHARED(shared_eigenvalues);
    __shared__ double partial[2][32];
    const int lane = threadIdx.x & (threads - 1);
    const long long row = (long long)blockIdx.x * (blockDim.x / threads) + threadIdx.x / threads;
    const u32 replica = (u32)(first + (u64)row);
    const bool leader = lane == 0 && row < count;
    double p[4 * BLOCKS], frozen[BATCHED ? 4 * BLOCKS : 1], sums[BLOCKS];
    float z[4 * BLOCKS];
    LabelNoise label = {{0.0f, 0.0f, 0.0f, 0.0f}};
    const double* eigenvalue = shared_eigenvalues + lane;
    for (int i = threadIdx.x; i < 4 * BLOCKS * threads; i += blockDim.x)
        shared_eigenvalues[(i % (4 * BLOCKS)) * threads + i / (4 * BLOCKS)] = eigenvalues[i];
#pragma unroll
    for (int i = 0; i < 4 * BLOCKS; ++i)
        p[i] = start[4 * BLOCKS * lane + i];
    __syncthreads();
    u64 sample = 0;
    long long moment = 0, dead = -1;
    int turn = 0;
    for (long long k = 0; k <= steps; ++k) {
        if (moment < records && recorded[moment] == k) {
#pragma unroll
            for (int b = 0; b < BLOCKS; ++b)
                sums[b] = dot(p + 4 * b, p + 4 * b);
            const double risk = sum_over_replica(sum_of_blocks<BLOCKS>(sums), threads, partial, turn) * 0.5;
            if (leader)
                out[row * records + moment] = risk + floor;
            ++moment;
        }
        if (k == steps || moment == records)
            break;
        const double scale = scales[k];
        if (BATCHED) {
#pragma unroll
            for (int i = 0; i < 4 * BLOCKS; ++i)
                frozen[BATCHED ? i : 0] = p[i];
        }
        for (long long left = BATCHED ? sizes[k] : 1; left > 0; --left) {
            const float epsilon = label.next(key, replica, sample, threads);
#pragma unroll
            for (int b = 0; b < BLOCKS; ++b) {
                variates(law, block_of(key, replica, sample, (u32)(BLOCKS * lane + b), FEATURES), z + 4 * b);
                sums[b] = dot(BATCHED ? frozen + 4 * b : p + 4 * b, z + 4 * b);
            }
            const double total = sum_over_replica(sum_of_blocks<BLOCKS>(sums), threads, partial, turn);
            const double step = scale * (total - noise * (double)epsilon), back = -step;
#pragma unroll
            for (int i = 0; i < 4 * BLOCKS; ++i)
                p[i] = __fma_rn(back * eigenvalue[i * threads], (double)z[i], p[i]);
            ++sample;
            if (!(fabs(step) <= LARGEST) && dead < 0)
                dead = k + 1;
        }
    }
    if (leader)
        died[row] = dead;
}

#define DESCENT(name, blocks, batched, block, resident)                                                                \
    extern "C" __global__ void __launch_bounds__(block, resident)                                                      \
        name(int law, u64 key, u64 first, long long count, int threads, const double* scales, const long long* sizes,  \
             long long steps, const double* eigenvalues, const double* start, double noise, double floor,              \
             const long long* recorded, long long records, double* out, long long* died)                               \
    {                                                                                                                  \
        descend<blocks, batched>(law, key, first, count, threads, scales, sizes, steps, eigenvalues, start, noise,     \
                                 floor, recorded, records, out, died);                                                 \
    }                                                                                                                  \
    EXPORT(name)

DESCENT(descend_1, 1, false, 512, 2)
DESCENT(descend_2, 2, false, 512, 1)
DESCENT(descend_4, 4, false, 256, 2)
DESCENT(descend_1_batched, 1, true, 512, 1)
DESCENT(descend_2_batched, 2, true, 512, 1)
DESCENT(descend_4_batched, 4, true, 256, 1)
