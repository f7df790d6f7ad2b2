// CUDA C on a C++ compiler: the same kernels, one thread after the other, for tests where there is no GPU.
//
// A block's threads are coroutines that give way at barriers; a shuffle is a barrier of the warp around an exchange.
// Blocks run one after the other, so __shared__ is static memory.  A kernel must not let a thread return before the
// barriers of its block.  Compile with -ffp-contract=off.

#ifndef THEORYCHECK_HOST
#define THEORYCHECK_HOST

#include <cmath>
#include <cstddef>
#include <cstring>
#include <type_traits>
#include <ucontext.h>
#include <utility>
#include <vector>

#define __device__
#define __global__
#define __restrict__ __restrict
#define __forceinline__ inline
#define __shared__ static
#define __launch_bounds__(...)
#define DYNAMIC_SHARED(name) static double name[1 << 15]

struct Index { unsigned x = 0, y = 0, z = 0; };
static Index threadIdx, blockIdx, blockDim, gridDim;

namespace host {

struct Barrier { unsigned arrived = 0, generation = 0; };
struct Warp { Barrier barrier; unsigned char slots[2][32][8]; };
struct Fiber { ucontext_t context; bool done; unsigned turn; };

static const size_t STACK = 1 << 16;
static std::vector<Fiber> fibers;
static std::vector<Warp> warps;
static std::vector<char> stacks;
static Barrier whole;
static ucontext_t outside;
static void (*body)(void*);
static void* body_argument;

inline void give_way()
{
    const unsigned self = threadIdx.x, count = blockDim.x;
    for (unsigned hop = 1; hop <= count; ++hop) {
        const unsigned next = (self + hop) % count;
        if (fibers[next].done)
            continue;
        if (next != self) {
            threadIdx.x = next;
            swapcontext(&fibers[self].context, &fibers[next].context);
            threadIdx.x = self;
        }
        return;
    }
    swapcontext(&fibers[self].context, &outside);   // the last thread of the block has returned
}

inline void wait(Barrier& barrier, unsigned size)
{
    const unsigned generation = barrier.generation;
    if (++barrier.arrived == size) {
        barrier.arrived = 0;
        ++barrier.generation;
        return;
    }
    while (barrier.generation == generation)
        give_way();
}

inline unsigned warp_size()
{
    const unsigned first = threadIdx.x & ~31u;
    return blockDim.x - first < 32 ? blockDim.x - first : 32;
}

template <class T> T exchange(T value, unsigned source)
{
    static_assert(sizeof(T) <= 8, "a shuffle moves at most 8 bytes");
    Warp& warp = warps[threadIdx.x / 32];
    const unsigned turn = fibers[threadIdx.x].turn++ & 1;
    std::memcpy(warp.slots[turn][threadIdx.x % 32], &value, sizeof value);
    wait(warp.barrier, warp_size());
    std::memcpy(&value, warp.slots[turn][source], sizeof value);
    return value;
}

inline void run_fiber()
{
    body(body_argument);
    fibers[threadIdx.x].done = true;
    give_way();
}

template <class... A> struct Call {
    void (*kernel)(A...);
    void** arguments;
    template <size_t... I> void apply(std::index_sequence<I...>)
    {
        kernel(*static_cast<std::remove_reference_t<A>*>(arguments[I])...);
    }
    static void run(void* self) { static_cast<Call*>(self)->apply(std::index_sequence_for<A...>{}); }
};

template <class... A> void launch(void (*kernel)(A...), unsigned grid, unsigned block, void** arguments)
{
    Call<A...> call{kernel, arguments};
    body = &Call<A...>::run;
    body_argument = &call;
    stacks.resize(block * STACK);
    gridDim.x = grid;
    blockDim.x = block;
    for (unsigned b = 0; b < grid; ++b) {
        blockIdx.x = b;
        fibers.assign(block, Fiber{});
        warps.assign((block + 31) / 32, Warp{});
        whole = Barrier{};
        for (unsigned t = 0; t < block; ++t) {
            getcontext(&fibers[t].context);
            fibers[t].context.uc_stack.ss_sp = stacks.data() + t * STACK;
            fibers[t].context.uc_stack.ss_size = STACK;
            fibers[t].context.uc_link = nullptr;
            makecontext(&fibers[t].context, run_fiber, 0);
        }
        threadIdx.x = 0;
        swapcontext(&outside, &fibers[0].context);
    }
}

}  // namespace host

#define EXPORT(kernel)                                                                                                 \
    extern "C" void launch_##kernel(unsigned grid, unsigned block, void** arguments)                                   \
    {                                                                                                                  \
        host::launch(kernel, grid, block, arguments);                                                                  \
    }

inline void __syncthreads() { host::wait(host::whole, blockDim.x); }
inline void __syncwarp() { host::wait(host::warps[threadIdx.x / 32].barrier, host::warp_size()); }
template <class T> T __shfl_xor_sync(unsigned, T value, int mask)
{
    return host::exchange(value, (threadIdx.x % 32) ^ (unsigned)mask);
}
template <class T> T __shfl_sync(unsigned, T value, int source, int width = 32)
{
    const unsigned lane = threadIdx.x % 32;
    return host::exchange(value, (lane & ~(unsigned)(width - 1)) | ((unsigned)source & (unsigned)(width - 1)));
}

inline float __fmul_rn(float a, float b) { return a * b; }
inline float __fadd_rn(float a, float b) { return a + b; }
inline float __fmaf_rn(float a, float b, float c) { return std::fmaf(a, b, c); }
inline float __fsqrt_rn(float a) { return std::sqrt(a); }
inline double __fma_rn(double a, double b, double c) { return std::fma(a, b, c); }
inline double __dmul_rn(double a, double b) { return a * b; }
inline double __dadd_rn(double a, double b) { return a + b; }
template <class T, class F> T bits_as(F from)
{
    static_assert(sizeof(T) == sizeof(F), "same size");
    T to;
    std::memcpy(&to, &from, sizeof to);
    return to;
}
inline int __float_as_int(float a) { return bits_as<int>(a); }
inline unsigned __float_as_uint(float a) { return bits_as<unsigned>(a); }
inline float __int_as_float(int a) { return bits_as<float>(a); }
inline double __longlong_as_double(long long a) { return bits_as<double>(a); }
inline float __uint_as_float(unsigned a) { return bits_as<float>(a); }

#endif
