/* The 9/7 wavelet of JPEG2000 by lifting (Daubechies and Sweldens 1998), float32, one plane at a time. wavelet.py is the
 * same in numpy, operation by operation: with IEEE arithmetic and no contraction both give the same bits.
 *
 * Subbands lie one after another, coarsest first: LL, then per level HL (horizontally high-pass), LH, HH. Each is scaled
 * by a gain, so that an error in a coefficient is an equal error in the picture. */
#include "exact.h"

#include <string.h>

static const float STEPS[4] = {-1.586134342059924f, -0.052980118572961f, 0.882911075530934f, 0.443506852043971f};
#define MAX_LEVELS 8

/* Every odd (first = 1) or even sample += a * (both its neighbours), mirrored at the ends. */
static void lift_rows(float *x, size_t height, size_t width, size_t stride, size_t first, float a)
{
    for (size_t y = first; y < height; y += 2) {
        float *row = x + y * stride;
        const float *up = x + (y ? y - 1 : y + 1) * stride, *down = x + (y + 1 < height ? y + 1 : y - 1) * stride;
        for (size_t i = 0; i < width; i++) row[i] += a * (up[i] + down[i]);
    }
}

/* The same along a row that is split into low (even) and high (odd) samples: odd ones from even ones. */
static void lift_high(const float *low, float *high, size_t n, float a)
{
    size_t half = n / 2, inside = (n - 1) / 2;
    for (size_t i = 0; i < inside; i++) high[i] += a * (low[i] + low[i + 1]);
    for (size_t i = inside; i < half; i++) high[i] += a * (low[i] + low[i]);
}

static void lift_low(float *low, const float *high, size_t n, float a)
{
    size_t half = n / 2;
    low[0] += a * (high[0] + high[0]);
    for (size_t i = 1; i < half; i++) low[i] += a * (high[i - 1] + high[i]);
    if (n % 2) low[half] += a * (high[half - 1] + high[half - 1]);
}

static void scale(float *to, const float *from, size_t n, float gain)
{
    for (size_t i = 0; i < n; i++) to[i] = from[i] * gain;
}

/* Height, width and place of every level's input and of its first subband. */
typedef struct { size_t height[MAX_LEVELS + 1], width[MAX_LEVELS + 1]; } pyramid_t;

static pyramid_t pyramid(size_t height, size_t width, unsigned levels)
{
    pyramid_t p;
    p.height[0] = height; p.width[0] = width;
    for (unsigned l = 0; l < levels; l++) {
        p.height[l + 1] = (p.height[l] + 1) / 2;
        p.width[l + 1] = (p.width[l] + 1) / 2;
    }
    return p;
}

/* plane: height x width; bands: as many values; gains: 1 + 3 * levels in the order of the subbands; work: as the plane
 * and two rows. No side of a level's input may be 1. */
API void sp_wavelet_forward(const float *plane, float *bands, uint32_t height, uint32_t width, uint32_t levels,
                            const float *gains, float *work)
{
    pyramid_t p = pyramid(height, width, levels);
    float *low = work + (size_t)height * width, *high = low + (width + 1) / 2;
    memcpy(work, plane, (size_t)height * width * sizeof *work);
    for (unsigned l = 0; l < levels; l++) {
        size_t h = p.height[l], w = p.width[l], lh = p.height[l + 1], lw = p.width[l + 1], hw = w / 2;
        const float *gain = gains + 1 + 3 * (levels - 1 - l);
        float *hl = bands + lh * lw, *lh_band = hl + lh * hw, *hh = lh_band + (h / 2) * lw;
        for (int i = 0; i < 4; i++) lift_rows(work, h, w, width, (size_t)(i + 1) % 2, STEPS[i]);
        for (size_t y = 0; y < h; y++) {
            float *row = work + y * width;
            for (size_t i = 0; i < hw; i++) { low[i] = row[2 * i]; high[i] = row[2 * i + 1]; }
            if (w % 2) low[hw] = row[w - 1];
            for (int i = 0; i < 4; i += 2) { lift_high(low, high, w, STEPS[i]); lift_low(low, high, w, STEPS[i + 1]); }
            if (y % 2) {
                scale(lh_band + y / 2 * lw, low, lw, gain[1]);
                scale(hh + y / 2 * hw, high, hw, gain[2]);
            } else {
                memcpy(work + y / 2 * width, low, lw * sizeof *low); /* y / 2 <= y: that row is used up */
                scale(hl + y / 2 * hw, high, hw, gain[0]);
            }
        }
    }
    for (size_t y = 0; y < p.height[levels]; y++)
        scale(bands + y * p.width[levels], work + y * width, p.width[levels], gains[0]);
}

/* The way back; gains: the reciprocals. `work` as above. */
API void sp_wavelet_inverse(const float *bands, float *plane, uint32_t height, uint32_t width, uint32_t levels,
                            const float *gains, float *work)
{
    pyramid_t p = pyramid(height, width, levels);
    float *low = work + (size_t)height * width, *high = low + (width + 1) / 2;
    size_t stride = width;
    for (size_t y = 0; y < p.height[levels]; y++)
        scale(plane + y * stride, bands + y * p.width[levels], p.width[levels], gains[0]);
    for (unsigned l = levels; l-- > 0;) {
        size_t h = p.height[l], w = p.width[l], lh = p.height[l + 1], lw = p.width[l + 1], hw = w / 2;
        const float *gain = gains + 1 + 3 * (levels - 1 - l);
        const float *hl = bands + lh * lw, *lh_band = hl + lh * hw, *hh = lh_band + (h / 2) * lw;
        for (size_t y = h; y-- > 0;) { /* from the end: row y / 2 is read before it is written */
            float *row = plane + y * stride;
            if (y % 2) {
                scale(low, lh_band + y / 2 * lw, lw, gain[1]);
                scale(high, hh + y / 2 * hw, hw, gain[2]);
            } else {
                memcpy(low, plane + y / 2 * stride, lw * sizeof *low);
                scale(high, hl + y / 2 * hw, hw, gain[0]);
            }
            for (int i = 2; i >= 0; i -= 2) { lift_low(low, high, w, -STEPS[i + 1]); lift_high(low, high, w, -STEPS[i]); }
            for (size_t i = 0; i < hw; i++) { row[2 * i] = low[i]; row[2 * i + 1] = high[i]; }
            if (w % 2) row[w - 1] = low[hw];
        }
        for (int i = 3; i >= 0; i--) lift_rows(plane, h, w, stride, (size_t)(i + 1) % 2, -STEPS[i]);
    }
    (void)work;
}
