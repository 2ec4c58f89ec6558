/* Rows of a band: prediction, contexts, residuals. The two directions run the same code. */
#include "rows.h"

/* What the rows above say of the errors of a row, for every pixel; weights sum to 84 of 113. */
static void errors_above(const model_t *m, int32_t y, int32_t width, uint32_t *out)
{
    const uint16_t *n = m->error[(y + 2) % 3], *nn = m->error[(y + 1) % 3];
    for (int32_t x = 0; x < width; x++)
        out[x] = 14u * n[x] + 11u * n[x - 1] + 13u * n[x + 1] + 9u * n[x - 2] + 10u * n[x + 2] + 10u * nn[x] +
                 8u * nn[x - 1] + 9u * nn[x + 1];
}

static void pad_errors(uint16_t *row, int32_t width)
{
    for (int32_t i = 1; i <= ERROR_PAD; i++) {
        row[-i] = row[0];
        row[width - 1 + i] = row[width - 1];
    }
}

/* The class of a pixel by the activity of its neighbours. */
INLINE uint32_t class_of(const band_t *b, const int16_t *p, int32_t stride)
{
    uint32_t class = 0, a = activity8(activity(p, stride));
    for (uint32_t i = 0; i + 1 < b->classes; i++) class += a >= b->threshold[i];
    return class;
}

INLINE int32_t dot(const int16_t *a, const int16_t *b, int32_t n)
{
    int32_t sum = 0;
    for (int32_t i = 0; i < n; i++) sum += (int32_t)a[i] * b[i];
    return sum;
}

typedef struct {
    const int16_t *rows[MAX_REFS][3];
    int16_t *own;
    uint16_t *error;
    int32_t y;
} row_t;

/* Pixels x.. of row 0 take the pixel before for those above. */
INLINE void fill_above(int16_t *p, int32_t stride, int16_t v)
{
    for (int32_t i = 1; i <= 5; i++) p[i - stride] = p[i - 2 * stride] = v;
}

/* Codes of one row, in the grid of its band; n_refs is a constant in every use. */
INLINE int code_pixels(work_t *w, residual_t *r, const band_t *b, const plane_t *plane, row_t *row, uint32_t n_refs)
{
    static const int32_t lanes[MAX_REFS + 1] = {OWN_TAPS, 40, 48, LANES};
    int16_t taps[LANES] = {0};
    const int32_t n = lanes[n_refs], stride = plane->stride, top = b->last << FRACTION;
    uint16_t *error = row->error;
    uint32_t left = error[-1], second = error[-2];
    for (int32_t x = 0; x < plane->width; x++) {
        int16_t *p = row->own + x;
        int32_t middle = gather(row->own, stride, (const int16_t *const (*)[3])row->rows, n_refs, x, taps);
        uint32_t sum = w->above[x] + 17 * left + 12 * second, e = sum >> 7;
        if (w->okay[x]) {
            const int16_t *weight = b->weight[b->classes > 1 ? class_of(b, p, stride) : 0];
            int32_t predicted = middle * (1 << FRACTION) + ((dot(taps, weight, n) + 256) >> (WEIGHT_BITS - FRACTION));
            predicted *= 1 << b->shift;
            predicted = predicted < 0 ? 0 : predicted > top ? top : predicted;
            int32_t code = code_sample(r, predicted, sum, w->codes[x]);
            if (UNLIKELY(r->c->failed)) return x;
            w->codes[x] = code;
            *p = (int16_t)(code >> b->shift);
            int32_t d = code * 16 - predicted;
            e = (uint32_t)(d < 0 ? -d : d);
        } else {
            *p = (int16_t)middle;
        }
        second = left;
        left = error[x] = (uint16_t)(e < 65535 ? e : 65535);
        if (UNLIKELY(row->y == 0)) fill_above(p, stride, *p);
    }
    return plane->width;
}

int code_row(work_t *w, residual_t *r, int32_t band, int32_t y, int32_t end)
{
    tile_t *t = &w->tile;
    band_t *b = &t->band[band];
    plane_t *plane = &t->plane[band];
    row_t row = {.own = plane->at + y * plane->stride, .error = r->m->error[y % 3], .y = y};
    for (uint32_t k = 0; k < b->n_refs; k++) ref_rows(&t->ref[band][k], y, end, row.rows[k]);
    start_row(plane, y);
    errors_above(r->m, y, plane->width, w->above);
    for (int32_t i = 1; i <= ERROR_PAD; i++) row.error[-i] = r->m->error[(y + 2) % 3][0];
    int done;
    switch (b->n_refs) {
    case 0: done = code_pixels(w, r, b, plane, &row, 0); break;
    case 1: done = code_pixels(w, r, b, plane, &row, 1); break;
    case 2: done = code_pixels(w, r, b, plane, &row, 2); break;
    default: done = code_pixels(w, r, b, plane, &row, 3);
    }
    end_row(plane, y);
    pad_errors(row.error, plane->width);
    return done;
}

void load_row(work_t *w, const band_t *b, const int32_t *samples, int32_t y)
{
    const tile_t *t = &w->tile;
    const grid_t *g = &b->grid;
    memset(w->okay, 0, sizeof w->okay);
    for (int32_t row = max32(y * g->fy - g->oy, 0); row < min32((y + 1) * g->fy - g->oy, t->height); row++)
        for (int32_t x = 0; x < t->width; x++) {
            int32_t cell = (x + g->ox) / g->fx;
            if (w->okay[cell] || !t->valid[row * t->width + x]) continue;
            w->okay[cell] = 1;
            if (samples) w->codes[cell] = (samples[row * t->width + x] - b->low) / b->gcd;
        }
}

void store_row(const work_t *w, const band_t *b, int32_t *samples, uint8_t *known, int32_t y, int32_t done)
{
    const tile_t *t = &w->tile;
    const grid_t *g = &b->grid;
    for (int32_t row = max32(y * g->fy - g->oy, 0); row < min32((y + 1) * g->fy - g->oy, t->height); row++)
        for (int32_t x = 0; x < t->width; x++) {
            int32_t cell = (x + g->ox) / g->fx, at = row * t->width + x;
            if (cell >= done) break;
            known[at] = 1;
            if (t->valid[at]) samples[at] = b->low + b->gcd * w->codes[cell];
        }
}
