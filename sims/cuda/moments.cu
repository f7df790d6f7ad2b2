// Moments of many replicas on the device, merged along the tree of sims/tree.py in its order of operations.
//
// A launch takes one level of the tree to the next.  Nodes are stored as (node, 6, P): mean, sums of the 2nd, 3rd and
// 4th powers of deviations, minimum, maximum; their counts as (node,).

#include "streams.cuh"

struct Moments { double mean, m2, m3, m4, low, high; };

__device__ __forceinline__ Moments merged(const Moments& a, double na, const Moments& b, double nb)
{
    if (na == 0.0)
        return b;
    if (nb == 0.0)
        return a;
    const double n = na + nb, d = b.mean - a.mean, d2 = d * d;
    Moments out;
    out.m4 = a.m4 + b.m4 + d2 * d2 * (na * nb / n * ((na * na - na * nb + nb * nb) / (n * n)))
             + 6.0 * d2 * ((na / n) * (na / n) * b.m2 + (nb / n) * (nb / n) * a.m2)
             + 4.0 * d * ((na / n) * b.m3 - (nb / n) * a.m3);
    out.m3 = a.m3 + b.m3 + d * d2 * (na * nb / n * ((na - nb) / n)) + 3.0 * d * ((na / n) * b.m2 - (nb / n) * a.m2);
    out.mean = a.mean + d * (nb / n);
    out.m2 = a.m2 + b.m2 + d2 * (na * nb / n);
    out.low = b.low < a.low ? b.low : a.low;
    out.high = b.high > a.high ? b.high : a.high;
    return out;
}

__device__ __forceinline__ Moments leaf(double x, double count)
{
    const double infinity = __longlong_as_double(0x7FF0000000000000LL);
    if (count == 0.0)
        return {0.0, 0.0, 0.0, 0.0, infinity, -infinity};
    return {x, 0.0, 0.0, 0.0, x, x};
}

__device__ __forceinline__ Moments load(const double* node, long long columns)
{
    return {node[0], node[columns], node[2 * columns], node[3 * columns], node[4 * columns], node[5 * columns]};
}

__device__ __forceinline__ void save(const Moments& m, double* node, long long columns)
{
    node[0] = m.mean;
    node[columns] = m.m2;
    node[2 * columns] = m.m3;
    node[3 * columns] = m.m4;
    node[4 * columns] = m.low;
    node[5 * columns] = m.high;
}

// Leaf counts: 0 for a replica that diverged (died >= 0) or left [-largest, largest], otherwise 1.
extern "C" __global__ void count_leaves(const double* samples, const long long* died, long long replicas,
                                        long long columns, double largest, double* counts)
{
    const long long r = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    if (r >= replicas)
        return;
    bool sane = died[r] < 0;
    for (long long p = 0; p < columns; ++p)
        sane = sane && fabs(samples[r * columns + p]) <= largest;
    counts[r] = sane ? 1.0 : 0.0;
}
EXPORT(count_leaves)

// Samples (replicas, P) as nodes of level 0.
extern "C" __global__ void make_leaves(const double* samples, const double* counts, long long replicas,
                                       long long columns, double* out)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x, r = i / columns, p = i % columns;
    if (r < replicas)
        save(leaf(samples[i], counts[r]), out + r * 6 * columns + p, columns);
}
EXPORT(make_leaves)

// Siblings among samples (2 nodes, P) to nodes of level 1.
extern "C" __global__ void merge_leaves(const double* samples, const double* counts, long long nodes, long long columns,
                                        double* out, double* out_counts)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x, k = i / columns, p = i % columns;
    if (k >= nodes)
        return;
    const double na = counts[2 * k], nb = counts[2 * k + 1];
    const Moments a = leaf(samples[2 * k * columns + p], na), b = leaf(samples[(2 * k + 1) * columns + p], nb);
    save(merged(a, na, b, nb), out + k * 6 * columns + p, columns);
    if (p == 0)
        out_counts[k] = na + nb;
}
EXPORT(merge_leaves)

// Siblings among nodes (2 nodes, 6, P) to the next level.
extern "C" __global__ void merge_nodes(const double* in, const double* counts, long long nodes, long long columns,
                                       double* out, double* out_counts)
{
    const long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x, k = i / columns, p = i % columns;
    if (k >= nodes)
        return;
    const double na = counts[2 * k], nb = counts[2 * k + 1];
    const double* left = in + 2 * k * 6 * columns + p;
    save(merged(load(left, columns), na, load(left + 6 * columns, columns), nb), out + k * 6 * columns + p, columns);
    if (p == 0)
        out_counts[k] = na + nb;
}
EXPORT(merge_nodes)
