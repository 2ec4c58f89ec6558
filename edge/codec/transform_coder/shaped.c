/* The wavelet of wavelet.c on the valid pixels alone: every run of them along a row or column is split by itself, mirrored
 * at its ends, and a pixel without a neighbour goes on as a low-pass sample, so that there are as many coefficients as valid
 * pixels (Li and Li, "Shape-adaptive discrete wavelet transforms for arbitrarily shaped visual object coding", 2000).
 * shaped.py is the same in numpy, operation by operation.
 *
 * Codes say of a sample how often the sum of the two beside it counts (0, 1, or 2 where only one is valid; the other is zero)
 * and, by bit 2, that it stands alone. Of every level: those of the columns (height x width), of the low-pass rows, of the
 * high-pass rows. */
#include "exact.h"

#include <string.h>

static const float STEPS[4] = {-1.586134342059924f, -0.052980118572961f, 0.882911075530934f, 0.443506852043971f};
static const float ALONE_GAIN = 1.230174104914001f, ALONE_BACK = 0.8128930661159609f; /* as of a constant */
enum { COUNT = 3, ALONE = 4 };

/* Every odd (first = 1) or even row += a * count * (those beside it). */
static void lift_rows(float *x, size_t height, size_t width, size_t first, float a, const uint8_t *codes, const float *zeros)
{
    for (size_t y = first; y < height; y += 2) {
        float *row = x + y * width;
        const uint8_t *code = codes + y * width;
        const float *up = y ? row - width : zeros, *down = y + 1 < height ? row + width : zeros;
        for (size_t i = 0; i < width; i++) row[i] += (a * (float)(code[i] & COUNT)) * (up[i] + down[i]);
    }
}

static void lift_row(float *x, size_t n, size_t first, float a, const uint8_t *code)
{
    for (size_t i = first; i < n; i += 2) {
        float before = i ? x[i - 1] : 0, after = i + 1 < n ? x[i + 1] : 0;
        x[i] += (a * (float)(code[i] & COUNT)) * (before + after);
    }
}

/* Samples that stand alone become low-pass ones, and back; those of a column or row are `step` apart. */
static void send_alone(float *x, size_t n, size_t step, const uint8_t *code)
{
    for (size_t i = 0; i < n; i++) {
        if (!(code[i] & ALONE)) continue;
        float value = x[i] * ALONE_GAIN;
        x[i] = 0;
        x[i - i / step % 2 * step] = value;
    }
}

static void fetch_alone(float *x, size_t n, size_t step, const uint8_t *code)
{
    for (size_t i = 0; i < n; i++) {
        if (!(code[i] & ALONE)) continue;
        size_t from = i - i / step % 2 * step;
        float value = x[from] * ALONE_BACK;
        x[from] = 0;
        x[i] = value;
    }
}

static void scale(float *to, const float *from, size_t n, size_t stride, float gain)
{
    for (size_t i = 0; i < n; i++) to[i] = from[i * stride] * gain;
}

static void split_row(float *x, size_t n, const uint8_t *code)
{
    for (int i = 0; i < 4; i++) lift_row(x, n, (size_t)(i + 1) % 2, STEPS[i], code);
    send_alone(x, n, 1, code);
}

static void merge_row(float *x, size_t n, const uint8_t *code)
{
    fetch_alone(x, n, 1, code);
    for (int i = 3; i >= 0; i--) lift_row(x, n, (size_t)(i + 1) % 2, -STEPS[i], code);
}

/* plane: height x width, zero where nothing is valid; bands: as many values; gains as sp_wavelet_forward; work: the plane and
 * two rows. */
API void sp_shaped_forward(const float *plane, float *bands, uint32_t height, uint32_t width, uint32_t levels,
                           const float *gains, const uint8_t *codes, float *work)
{
    size_t h = height, w = width;
    float *temp = work + h * w, *zeros = temp + w;
    memcpy(work, plane, h * w * sizeof *work);
    memset(zeros, 0, w * sizeof *zeros);
    for (unsigned l = 0; l < levels; l++) {
        size_t low_h = (h + 1) / 2, low_w = (w + 1) / 2, high_h = h / 2, high_w = w / 2;
        const uint8_t *columns = codes, *low = codes + h * w, *high = low + low_h * w;
        const float *gain = gains + 1 + 3 * (levels - 1 - l);
        float *hl = bands + low_h * low_w, *lh = hl + low_h * high_w, *hh = lh + high_h * low_w;
        for (int i = 0; i < 4; i++) lift_rows(work, h, w, (size_t)(i + 1) % 2, STEPS[i], columns, zeros);
        send_alone(work, h * w, w, columns);
        for (size_t y = 0; y < h; y++) {
            size_t half = y / 2;
            memcpy(temp, work + y * w, w * sizeof *temp);
            split_row(temp, w, (y % 2 ? high : low) + half * w);
            if (y % 2) {
                scale(lh + half * low_w, temp, low_w, 2, gain[1]);
                scale(hh + half * high_w, temp + 1, high_w, 2, gain[2]);
            } else { /* half <= y: that row is used up */
                for (size_t i = 0; i < low_w; i++) work[half * low_w + i] = temp[2 * i];
                scale(hl + half * high_w, temp + 1, high_w, 2, gain[0]);
            }
        }
        codes += 2 * h * w;
        h = low_h; w = low_w;
    }
    scale(bands, work, h * w, 1, gains[0]);
}

/* The way back, of coefficients that are zero where no pixel stands behind them; gains: the reciprocals. */
API void sp_shaped_inverse(const float *bands, float *plane, uint32_t height, uint32_t width, uint32_t levels,
                           const float *gains, const uint8_t *codes, float *work)
{
    size_t heights[9], widths[9];
    float *temp = work, *zeros = work + width;
    memset(zeros, 0, width * sizeof *zeros);
    heights[0] = height; widths[0] = width;
    for (unsigned l = 0; l < levels; l++) {
        codes += 2 * heights[l] * widths[l];
        heights[l + 1] = (heights[l] + 1) / 2; widths[l + 1] = (widths[l] + 1) / 2;
    }
    scale(plane, bands, heights[levels] * widths[levels], 1, gains[0]);
    for (unsigned l = levels; l-- > 0;) {
        size_t h = heights[l], w = widths[l], low_h = heights[l + 1], low_w = widths[l + 1], high_h = h / 2, high_w = w / 2;
        codes -= 2 * h * w;
        const uint8_t *columns = codes, *low = codes + h * w, *high = low + low_h * w;
        const float *gain = gains + 1 + 3 * (levels - 1 - l);
        const float *hl = bands + low_h * low_w, *lh = hl + low_h * high_w, *hh = lh + high_h * low_w;
        for (size_t y = h; y-- > 0;) { /* from the end: row y / 2 is read before it is written */
            size_t half = y / 2;
            const float *from = y % 2 ? lh + half * low_w : plane + half * low_w, *beside = (y % 2 ? hh : hl) + half * high_w;
            float factor = y % 2 ? gain[1] : 1, other = y % 2 ? gain[2] : gain[0];
            for (size_t i = 0; i < low_w; i++) temp[2 * i] = from[i] * factor;
            for (size_t i = 0; i < high_w; i++) temp[2 * i + 1] = beside[i] * other;
            merge_row(temp, w, (y % 2 ? high : low) + half * w);
            memcpy(plane + y * w, temp, w * sizeof *temp);
        }
        fetch_alone(plane, h * w, w, columns);
        for (int i = 3; i >= 0; i--) lift_rows(plane, h, w, (size_t)(i + 1) % 2, -STEPS[i], columns, zeros);
    }
}
