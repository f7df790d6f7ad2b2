// Mini-batch SGD on M random combinations of N features (run_projected of sims/fsl/kernels.py), in feature space.
//
// A block runs GROUP replicas, so that every entry of W that comes from memory serves GROUP products.  Threads share
// the rows of W x; each sum is formed by one thread in the order of the CPU, with its fused operations, so the bits are
// those of the CPU.  The serial sums of the residual run beside the products, which take as long.

#include "streams.cuh"

#define FEATURES 0u
#define NOISE 1u
#define LARGEST 1e30
#define GROUP 4
#define THREADS 256

// Label noise of a sample, standard normal.
__device__ __forceinline__ double label_noise(u64 key, u32 replica, u64 sample)
{
    float e[4];
    variates(0, block_of(key, replica, sample >> 2, 0, NOISE), e);
    return (double)(sample & 2 ? (sample & 1 ? e[3] : e[2]) : (sample & 1 ? e[1] : e[0]));
}

// Parameters as in run_projected, except: `scales` (K,) are rates over batch sizes; weighted (width, features) comes
// also as its transpose; `floor` is added to the risk; out (count, T) and died (count,) are written throughout, for the
// replicas `first`, ..., `first + count - 1`.  Shared memory: GROUP (features + 3 width) numbers, given at the launch.
extern "C" __global__ void __launch_bounds__(THREADS, 2)
    descend_projected(u64 key, u64 first, long long count, const double* scales, const long long* sizes,
                      long long steps, const double* weighted, const double* transposed, const double* target,
                      int width, int features, double noise, double floor, const long long* recorded,
                      long long records, double* out, long long* died)
{
    DYNAMIC_SHARED(memory);
    __shared__ double residuals[GROUP];
    double *x = memory, *v = x + GROUP * features;
    double *projected = v + GROUP * width, *gradient = projected + GROUP * width;
    const int thread = threadIdx.x, blocks = (features + 3) / 4;
    const long long row = (long long)blockIdx.x * GROUP;
    u64 sample = 0;
    long long moment = 0, dead = -1;
    for (int i = thread; i < GROUP * width; i += THREADS)
        v[i] = 0.0;
    for (long long k = 0; k <= steps; ++k) {
        __syncthreads();
        if (moment < records && recorded[moment] == k) {
            for (int i = thread; i < GROUP * features; i += THREADS) {
                const int g = i / features, n = i % features;
                double gap = -target[n];
                for (int m = 0; m < width; ++m)
                    gap = __fma_rn(weighted[(long long)m * features + n], v[g * width + m], gap);
                x[i] = gap;
            }
            __syncthreads();
            if (thread < GROUP && row + thread < count) {
                double risk = 0.0;
                for (int n = 0; n < features; ++n)
                    risk = __fma_rn(x[thread * features + n], x[thread * features + n], risk);
                out[(row + thread) * records + moment] = risk * 0.5 + floor;
            }
            __syncthreads();
            ++moment;
        }
        if (k == steps || moment == records)
            break;
        for (int i = thread; i < GROUP * width; i += THREADS)
            gradient[i] = 0.0;
        for (long long left = sizes[k]; left > 0; --left, ++sample) {
            for (int i = thread; i < GROUP * blocks; i += THREADS) {
                const int g = i / blocks, b = i % blocks;
                float z[4];
                variates(0, block_of(key, (u32)(first + (u64)row) + g, sample, (u32)b, FEATURES), z);
                for (int e = 0; e < 4 && 4 * b + e < features; ++e)
                    x[g * features + 4 * b + e] = (double)z[e];
            }
            __syncthreads();
            double residual = 0.0;
            if (thread < GROUP) {
                residual = -noise * label_noise(key, (u32)(first + (u64)row) + thread, sample);
                for (int n = 0; n < features; ++n)
                    residual = __fma_rn(-target[n], x[thread * features + n], residual);
            }
            for (int m = thread - 32; thread >= 32 && m < width; m += THREADS - 32) {
                double sums[GROUP] = {0.0, 0.0, 0.0, 0.0};
                for (int n = 0; n < features; ++n) {
                    const double w = transposed[(long long)n * width + m];
#pragma unroll
                    for (int g = 0; g < GROUP; ++g)
                        sums[g] = __fma_rn(w, x[g * features + n], sums[g]);
                }
#pragma unroll
                for (int g = 0; g < GROUP; ++g)
                    projected[g * width + m] = sums[g];
            }
            __syncthreads();
            if (thread < GROUP) {
                for (int m = 0; m < width; ++m)
                    residual = __fma_rn(v[thread * width + m], projected[thread * width + m], residual);
                residuals[thread] = residual;
                if (left == 1 && !(fabs(residual) <= LARGEST) && dead < 0)
                    dead = k + 1;
            }
            __syncthreads();
            for (int i = thread; i < GROUP * width; i += THREADS)
                gradient[i] = __fma_rn(residuals[i / width], projected[i], gradient[i]);
        }
        for (int i = thread; i < GROUP * width; i += THREADS)
            v[i] = __fma_rn(-scales[k], gradient[i], v[i]);
    }
    if (thread < GROUP && row + thread < count)
        died[row + thread] = dead;
}
EXPORT(descend_projected)
