// Label-noise SGD on two-layer linear networks: model, draws and observables of sims/label_noise/kernels.py.
//
// reduced_D: the width-free recursion for dimensions up to D, one warp per replica.  Lane j holds row j of G in
// registers (all of it, so that G x needs no transpose); the vectors of a step are in shared memory, and every lane
// forms the scalars of the step for itself.  The order of operations is that of the CPU; with -fmad=false so are the
// bits.
//
// direct: every weight, one block per replica, threads over neurons.  The state is in shared memory where it fits,
// otherwise in global memory.  The sum over neurons is cut over threads, so paths agree with the CPU's to rounding.
//
// Neurons are not observed here.

#include "streams.cuh"

#define STEPS 0u
#define INPUTS 1u
#define START 2u
#define LARGEST 1e12
#define EVERYONE 0xFFFFFFFFu
#define OBSERVABLES 7
#define WARPS 4          // replicas per block of reduced_D
#define NEURONS 256      // threads per block of direct

// What all replicas share.  inputs (n, d) and start (m, d + 1) are null where they are drawn; n = 0 for fresh inputs.
struct Model {
    u64 key;
    double step, target, factor;
    const double *noise, *inputs, *start, *scales;
    long long count, width;
    int dimension;
};

__device__ __forceinline__ double dot4(const double* p, const double* q)
{
    return (p[0] * q[0] + p[1] * q[1]) + (p[2] * q[2] + p[3] * q[3]);
}

// Write input i (of the training set, or of step i where inputs are fresh) into x, by threads 0..7.
__device__ __forceinline__ void write_input(const Model& model, u32 replica, u64 i, int thread, double* x)
{
    if (4 * thread >= model.dimension)
        return;
    float z[4];
    if (!model.inputs)
        variates(0, block_of(model.key, replica, i, (u32)thread, INPUTS), z);
    for (int e = 0; e < 4 && 4 * thread + e < model.dimension; ++e)
        x[4 * thread + e] = model.inputs ? model.inputs[i * model.dimension + 4 * thread + e] : (double)z[e];
}

// Which input step k sees, and the sign of its label noise, from words 0 and 1 of its block.
__device__ __forceinline__ u64 chosen(const Model& model, long long k, u32 word)
{
    return model.count ? ((u64)word * (u64)model.count) >> 32 : (u64)k;
}

// Observables of a state: g (d, d) with leading dimension `pitch`, theta (d,), sigma (d, d).
__device__ void observe(const Model& model, const double* g, int pitch, const double* theta, double alpha,
                        const double* sigma, double* out)
{
    double loss = 0.0, error = 0.0, norm = 0.0, sharpness = 0.0;
    for (int j = 0; j < model.dimension; ++j) {
        const double delta = theta[j] - (j == 0 ? model.target : 0.0);
        error += delta * delta;
        for (int k = 0; k < j; ++k) {
            const double other = theta[k] - (k == 0 ? model.target : 0.0), s = sigma[j * model.dimension + k];
            loss += 2.0 * s * delta * other;
            sharpness += 2.0 * s * g[j * pitch + k];
        }
        const double square = g[j * pitch + j], s = sigma[j * model.dimension + j];
        loss += s * delta * delta;
        sharpness += s * (square + alpha);
        norm += square;
    }
    out[0] = model.factor * loss;
    out[1] = error;
    out[2] = alpha;
    out[3] = norm;
    out[4] = theta[0];
    out[5] = g[0];
    out[6] = 2.0 * model.factor * sharpness;
}

// -- the reduced recursion

template <int D> struct Row { double entry[D]; };

// row += c x' over the first d entries, in the order of the entries.
template <int D> __device__ __forceinline__ void add_multiple(Row<D>& row, double c, const double* x, int d)
{
#pragma unroll
    for (int k = 0; k < D; ++k)
        if (k < d)
            row.entry[k] = row.entry[k] + c * x[k];
}

// Neuron i at the start into z (d + 1,), by lanes.
__device__ __forceinline__ void write_neuron(const Model& model, u32 replica, long long i, int lane, double* z)
{
    if (4 * lane > model.dimension)
        return;
    float drawn[4];
    if (!model.start)
        variates(0, block_of(model.key, replica, (u64)i, (u32)lane, START), drawn);
    for (int e = 0; e < 4 && 4 * lane + e <= model.dimension; ++e) {
        const int j = 4 * lane + e;
        z[j] = model.start ? model.start[i * (model.dimension + 1) + j] : model.scales[j] * (double)drawn[e];
    }
}

// Covariance of the inputs of a replica into sigma (d, d), k <= j only; x is scratch.
template <int D>
__device__ void write_covariance(const Model& model, u32 replica, int lane, double* x, double* sigma)
{
    Row<D> row;
#pragma unroll
    for (int k = 0; k < D; ++k)
        row.entry[k] = model.count == 0 && k == lane ? 1.0 : 0.0;
    for (long long i = 0; i < model.count; ++i) {
        write_input(model, replica, (u64)i, lane, x);
        __syncwarp();
        if (lane < D)
            add_multiple<D>(row, x[lane], x, model.dimension);
        __syncwarp();
    }
#pragma unroll
    for (int k = 0; k < D; ++k)
        if (k <= lane && lane < model.dimension)
            sigma[lane * model.dimension + k] = model.count ? row.entry[k] / (double)model.count : row.entry[k];
}

template <int D>
__device__ __forceinline__ void reduced(const Model& model, long long steps, u64 first, long long replicas,
                                        const long long* recorded, long long records, double* sigmas, double* out,
                                        long long* died)
{
    __shared__ double vectors[WARPS][2][D], moved[WARPS][D], state[WARPS][D + 1], products[WARPS][D];
    __shared__ double grams[WARPS][D * D];
    const int warp = threadIdx.x / 32, lane = threadIdx.x % 32, d = model.dimension, j = lane < D ? lane : 0;
    const long long asked = (long long)blockIdx.x * WARPS + warp, row = asked < replicas ? asked : replicas - 1;
    const bool mine = asked < replicas;
    const u32 replica = (u32)(first + (u64)row);
    double *x = vectors[warp][0], *old = vectors[warp][1], *u = moved[warp], *theta = state[warp], *h = products[warp];
    double *gram = grams[warp], *sigma = sigmas + row * d * d, alpha = 0.0, own = 0.0;
    Row<D> g;
#pragma unroll
    for (int k = 0; k < D; ++k)
        g.entry[k] = 0.0;
    x[j] = old[j] = u[j] = theta[j] = h[j] = 0.0;
    __syncwarp();
    if (mine)
        write_covariance<D>(model, replica, lane, x, sigma);
    for (long long i = 0; i < model.width; ++i) {
        __syncwarp();
        write_neuron(model, replica, i, lane, theta);
        __syncwarp();
        const double a = theta[d];
        if (lane < d) {
            add_multiple<D>(g, theta[lane], theta, d);
            own = own + theta[lane] * a;
        }
        alpha = alpha + a * a;
    }
    __syncwarp();
    if (lane < D)
        theta[lane] = own, x[lane] = 0.0;
    __syncwarp();
    u32 which = 0, signs = 0;
    long long moment = 0, dead = -1;
    for (long long k = 0; k <= steps; ++k) {
        double* swap = old;
        old = x;
        x = swap;
        const bool record = moment < records && recorded[moment] == k;
        if (record) {
            if (lane < D) {
#pragma unroll
                for (int c = 0; c < D; ++c) {
                    g.entry[c] = g.entry[c] + (old[lane] * u[c] + u[lane] * old[c]);
                    gram[lane * D + c] = g.entry[c];
                }
            }
            __syncwarp();
            if (lane < D)
                u[lane] = 0.0;
            if (lane == 0 && mine)
                observe(model, gram, D, theta, alpha, sigma, out + (row * records + moment) * OBSERVABLES);
            ++moment;
        }
        if (k == steps || moment == records)
            break;
        if ((k & 31) == 0) {
            const Words words = block_of(model.key, replica, (u64)k + lane, 0, STEPS);
            which = words.w[0];
            signs = words.w[1];
        }
        const u32 word = __shfl_sync(EVERYONE, which, (int)(k & 31), 32);
        const double sign = (double)rademacher(__shfl_sync(EVERYONE, signs, (int)(k & 31), 32));
        write_input(model, replica, chosen(model, k, word), lane, x);
        __syncwarp();
        double product = 0.0;
        const double f = old[j], e = u[j];
#pragma unroll
        for (int c = 0; c < D; c += 4) {
#pragma unroll
            for (int i = c; i < c + 4; ++i)
                g.entry[i] = g.entry[i] + (f * u[i] + e * old[i]);
            product = product + dot4(g.entry + c, x + c);
        }
        if (lane < D)
            h[lane] = product;
        __syncwarp();
        double output = 0.0, square = 0.0;
#pragma unroll
        for (int c = 0; c < D; c += 4) {
            output = output + dot4(theta + c, x + c);
            square = square + dot4(h + c, x + c);
        }
        __syncwarp();
        const double b = -model.step * (output - (model.target * x[0] + model.noise[k] * sign));
        if (lane < D) {
            const double half = 0.5 * b * alpha, whole = alpha + b * output, t = theta[lane];
            u[lane] = b * (t + half * x[lane]);
            theta[lane] = t + b * (product + whole * x[lane]);
        }
        alpha = alpha + b * (2.0 * output + b * square);
        if (!(fabs(b) <= LARGEST) && dead < 0)
            dead = k + 1;
        __syncwarp();
    }
    if (lane == 0 && mine)
        died[row] = dead;
}

#define PARAMETERS                                                                                                     \
    u64 key, double step, double target, double factor, const double *noise, const double *inputs, const double *start,\
        const double *scales, long long count, long long width, int dimension, long long steps, u64 first,             \
        long long replicas, const long long *recorded, long long records, double *sigmas, double *out, long long *died

#define REDUCED(name, largest)                                                                                         \
    extern "C" __global__ void __launch_bounds__(32 * WARPS, 3) name(PARAMETERS)                                       \
    {                                                                                                                  \
        const Model model = {key, step, target, factor, noise, inputs, start, scales, count, width, dimension};        \
        reduced<largest>(model, steps, first, replicas, recorded, records, sigmas, out, died);                         \
    }                                                                                                                  \
    EXPORT(name)

REDUCED(reduced_8, 8)
REDUCED(reduced_16, 16)
REDUCED(reduced_24, 24)
REDUCED(reduced_32, 32)

// -- the network itself

// Sum over the block, the same bits in all threads; one barrier, `partial` by turns.
__device__ __forceinline__ double sum_over_block(double sum, double (*partial)[NEURONS / 32], int& turn)
{
    for (int hop = 1; hop < 32; hop *= 2)
        sum = sum + __shfl_xor_sync(EVERYONE, sum, hop);
    if (threadIdx.x % 32 == 0)
        partial[turn][threadIdx.x / 32] = sum;
    __syncthreads();
    sum = partial[turn][threadIdx.x % (NEURONS / 32)];
    for (int hop = 1; hop < NEURONS / 32; hop *= 2)
        sum = sum + __shfl_xor_sync(EVERYONE, sum, hop);
    turn ^= 1;
    return sum;
}

// Finish the pending update of this thread's neurons and return its part of a'W x.  w is (4 blocks, width).
__device__ __forceinline__ double propagate(const Model& model, double* w, double* a, double* hidden, double b,
                                            const double* old, const double* x)
{
    double output = 0.0;
    const int blocks = (model.dimension + 3) / 4;
    for (long long i = threadIdx.x; i < model.width; i += NEURONS) {
        const double pull = b * a[i];
        double pre = 0.0;
        a[i] = a[i] + b * hidden[i];
        for (int c = 0; c < 4 * blocks; c += 4) {
            double row[4];
#pragma unroll
            for (int e = 0; e < 4; ++e) {
                row[e] = w[(c + e) * model.width + i] + pull * old[c + e];
                w[(c + e) * model.width + i] = row[e];
            }
            pre = pre + dot4(row, x + c);
        }
        hidden[i] = pre;
        output = output + a[i] * pre;
    }
    return output;
}

// The network's g (32, 32), k <= j only, theta and alpha, each summed in the order of the neurons.
__device__ void gather(const Model& model, const double* w, const double* a, double* g, double* theta, double* alpha)
{
    const int d = model.dimension, pairs = d * d;
    for (int p = threadIdx.x; p < pairs + d + 1; p += NEURONS) {
        const int j = p / d, k = p % d;
        if (p < pairs && k > j)
            continue;
        const double* left = p < pairs ? w + j * model.width : p < pairs + d ? w + k * model.width : a;
        const double* right = p < pairs ? w + k * model.width : a;
        double sum = 0.0;
        for (long long i = 0; i < model.width; ++i)
            sum = sum + left[i] * right[i];
        *(p < pairs ? g + 32 * j + k : p < pairs + d ? theta + k : alpha) = sum;
    }
}

// `store`: null where the state fits into shared memory, otherwise (4 blocks + 2) width numbers per replica.
extern "C" __global__ void __launch_bounds__(NEURONS) direct(PARAMETERS, double* store)
{
    DYNAMIC_SHARED(memory);
    __shared__ double vectors[2][32], theta[32], grams[32 * 32], alpha[1], partial[2][NEURONS / 32];
    const Model model = {key, step, target, factor, noise, inputs, start, scales, count, width, dimension};
    const int blocks = (dimension + 3) / 4, thread = threadIdx.x;
    const long long row = blockIdx.x;
    const u32 replica = (u32)(first + (u64)row);
    double* w = store ? store + row * (4 * blocks + 2) * width : memory;
    double *a = w + 4 * blocks * width, *hidden = a + width, *sigma = sigmas + row * dimension * dimension;
    double *x = vectors[0], *old = vectors[1], b = 0.0;
    for (long long i = thread; i < width; i += NEURONS) {
        for (int c = 0; c <= dimension; c += 4) {
            float z[4];
            if (!start)
                variates(0, block_of(key, replica, (u64)i, (u32)c / 4, START), z);
            for (int e = 0; e < 4; ++e) {
                const int j = c + e;
                const double value = j > dimension ? 0.0
                                     : start ? start[i * (dimension + 1) + j] : scales[j] * (double)z[e];
                if (j == dimension)
                    a[i] = value;
                if (j < 4 * blocks)
                    w[j * width + i] = j < dimension ? value : 0.0;
            }
        }
        hidden[i] = 0.0;
    }
    if (thread < 32) {
        x[thread] = old[thread] = 0.0;
        __syncwarp();
        write_covariance<32>(model, replica, thread, x, sigma);
        __syncwarp();
        x[thread] = 0.0;
    }
    __syncthreads();
    long long moment = 0, dead = -1;
    int turn = 0;
    for (long long k = 0; k <= steps; ++k) {
        double* swap = old;
        old = x;
        x = swap;
        if (moment < records && recorded[moment] == k) {
            propagate(model, w, a, hidden, b, old, old);
            b = 0.0;
            __syncthreads();
            gather(model, w, a, grams, theta, alpha);
            __syncthreads();
            if (thread == 0)
                observe(model, grams, 32, theta, alpha[0], sigma, out + (row * records + moment) * OBSERVABLES);
            ++moment;
        }
        if (k == steps || moment == records)
            break;
        const Words words = block_of(key, replica, (u64)k, 0, STEPS);
        if (thread < 32)
            write_input(model, replica, chosen(model, k, words.w[0]), thread, x);
        __syncthreads();
        const double output = sum_over_block(propagate(model, w, a, hidden, b, old, x), partial, turn);
        b = -step * (output - (target * x[0] + noise[k] * (double)rademacher(words.w[1])));
        if (!(fabs(b) <= LARGEST) && dead < 0)
            dead = k + 1;
    }
    if (thread == 0)
        died[row] = dead;
}
EXPORT(direct)
