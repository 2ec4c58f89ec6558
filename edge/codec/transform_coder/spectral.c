/* Spectral bases undone, float32: every band is the sum of the components times their factors, components in rising
 * order, each product rounded and each sum rounded. spectral.py is the same in numpy: with IEEE arithmetic and no contraction
 * both give the same bits, on every machine. */
#include "exact.h"

enum { BLOCK = 512, MAX_SIZE = 16 };

static int any(const float *x, size_t n)
{
    int found = 0;
    for (size_t i = 0; i < n; i++) found |= x[i] != 0;
    return found;
}

/* One band of one block: `count` components at `x`, which are not all zero. A zero would not move the sum: it starts at
 * +0 and is never -0. */
static void add_up(float *restrict out, const float *const *x, const float *factor, unsigned count, size_t n)
{
    unsigned c = 0;
    for (size_t i = 0; i < n; i++) out[i] = 0;
    for (; c + 4 <= count; c += 4) {
        const float *x0 = x[c], *x1 = x[c + 1], *x2 = x[c + 2], *x3 = x[c + 3];
        float f0 = factor[c], f1 = factor[c + 1], f2 = factor[c + 2], f3 = factor[c + 3];
        for (size_t i = 0; i < n; i++) {
            float sum = out[i] + f0 * x0[i];
            sum = sum + f1 * x1[i];
            sum = sum + f2 * x2[i];
            out[i] = sum + f3 * x3[i];
        }
    }
    for (; c < count; c++)
        for (size_t i = 0; i < n; i++) out[i] = out[i] + factor[c] * x[c][i];
}

/* components, bands: `size` <= 16 rows that start `stride` apart, n columns; basis: size x size, a row a band. */
API void sp_spectral_inverse(const float *basis, uint32_t size, const float *components, float *bands, size_t stride,
                             size_t n)
{
    for (size_t start = 0; start < n; start += BLOCK) {
        size_t width = n - start < BLOCK ? n - start : BLOCK;
        const float *used[MAX_SIZE];
        unsigned row[MAX_SIZE], count = 0;
        for (unsigned c = 0; c < size && c < MAX_SIZE; c++) {
            const float *x = components + c * stride + start;
            if (!any(x, width)) continue;
            row[count] = c;
            used[count++] = x;
        }
        for (unsigned b = 0; b < size; b++) {
            float factor[MAX_SIZE];
            for (unsigned c = 0; c < count; c++) factor[c] = basis[b * size + row[c]];
            add_up(bands + b * stride + start, used, factor, count, width);
        }
    }
}
