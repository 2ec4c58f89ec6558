/* What is added up most, with AVX2; asked for only where the processor has it. */
#include "plan.h"
#include "refine.h"

#if defined(WIDE_VECTORS)
#include <immintrin.h>
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2"))), apply_to = function)
#else
#pragma GCC target("avx2")
#endif
#define USE_AVX2
#include "products.h"
#include "refine_sums.h"

const refine_sums_t REFINE_SUMS_WIDE = {put_inputs, put_near, put_outputs, pixel};

void add_products_wide(fit_t *f, uint32_t class, int32_t i, int32_t n) { add_products(f, class, i, n); }

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
