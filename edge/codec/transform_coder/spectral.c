/* Spectral bases as angles of plane rotations, float64, and undone, float32. Undone: every band is the sum of the components times their
 * factors, components in rising order, each product rounded and each sum rounded. spectral.py is the same in Python: with IEEE arithmetic
 * and no contraction both give the same bits, on every machine. */
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

static inline void turn(double *a, double *b, uint32_t size, double c, double s)
{
    for (uint32_t n = 0; n < size; n++) {
        double x = a[n], y = b[n];
        a[n] = c * x - s * y;
        b[n] = s * x + c * y;
    }
}

/* The angle of the point (x, y), x not below 0, among -half ... half - 1: of the two that it lies between the nearer one. */
static int32_t nearest_angle(double x, double y, const double *turns, int32_t half)
{
    int32_t low = -half, high = half;
    if (x == 0 && y == 0) return 0;
#define BEYOND(angle) (y * turns[2 * ((angle) + half)] - x * turns[2 * ((angle) + half) + 1]) /* sine of how far, by its length */
    while (high - low > 1) {
        int32_t middle = low + (high - low) / 2;
        if (BEYOND(middle) >= 0) low = middle;
        else high = middle;
    }
    return high < half && -BEYOND(high) < BEYOND(low) ? high : low;
#undef BEYOND
}

/* Angles of the orthonormal `rows` (size, size), columns its vectors, in the order of spectral.py's `angles_of`; `rows` are used up.
 * turns: cosine and sine of the angles -half ... half, a quarter turn each way. */
API void sp_spectral_angles(double *rows, uint32_t size, const double *turns, int32_t half, int32_t *angles)
{
    for (uint32_t j = 0; j + 1 < size; j++) {
        double *own = rows + j * size;
        if (own[j] < 0) /* a vector's sign is free: every angle is within a quarter turn */
            for (uint32_t n = 0; n < size; n++) rows[n * size + j] = -rows[n * size + j];
        for (uint32_t i = j + 1; i < size; i++) {
            double *other = rows + i * size;
            int32_t angle = nearest_angle(own[j], other[j], turns, half);
            *angles++ = angle;
            turn(own, other, size, turns[2 * (half - angle)], turns[2 * (half - angle) + 1]);
        }
    }
}

/* Turns `rows`, the identity, into the basis (size, size) of its angles. */
API void sp_spectral_basis(double *rows, uint32_t size, const double *turns, int32_t half, const int32_t *angles)
{
    const int32_t *angle = angles + size * (size - 1) / 2;
    for (uint32_t j = size; j-- > 0;)
        for (uint32_t i = size; i-- > j + 1;) {
            const double *by = turns + 2 * (*--angle + half);
            turn(rows + j * size, rows + i * size, size, by[0], by[1]);
        }
}
