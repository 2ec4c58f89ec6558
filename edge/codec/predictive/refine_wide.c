/* The sums of refined predictions with AVX2; asked for only where the processor has it. */
#include "refine.h"

#if defined(WIDE_VECTORS)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif
#define USE_AVX2
#include "refine_sums.h"

const refine_sums_t REFINE_SUMS_WIDE = {put_inputs, put_near, put_outputs, pixel};
#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
