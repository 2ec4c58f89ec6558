/* Rows of a band: prediction, contexts, residuals. The two directions run the same code. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2") /* what -O3 adds makes these loops an eighth slower */
#endif
#include "rows.h"

/* What the rows above say of the errors of a row, for every pixel; with the pixels before, weights sum to about 106.
 * Where cells of 2 x 2 are told apart, only pixels in the same place of a cell are asked. */
static void errors_above(const model_t *m, int32_t width, int phased, const uint16_t *n, const uint16_t *nn,
                         uint32_t *out)
{
    if (phased) {
        for (int32_t x = 0; x < width; x++) out[x] = 34u * nn[x] + 22u * nn[x - 2] + 23u * nn[x + 2];
        return;
    }
    uint32_t *wide = m->wide, around = 0;
    for (int32_t x = -WIDE; x < width + WIDE; x++)
        wide[x] += n[x < 0 ? 0 : x < width ? x : width - 1] - (wide[x] >> 3);
    for (int32_t x = -WIDE; x < WIDE; x++) around += wide[x];
    for (int32_t x = 0; x < width; x++) {
        around += wide[x + WIDE];
        out[x] = 14u * n[x] + 9u * n[x - 1] + 10u * n[x + 1] + 4u * n[x - 2] + 6u * n[x + 2] + 8u * nn[x] +
                 3u * nn[x - 1] + 5u * nn[x + 1] + (around * 20 >> 6);
        around -= wide[x - WIDE];
    }
}

static void pad_errors(uint16_t *row, int32_t width)
{
    for (int32_t i = 1; i <= ERROR_PAD; i++) {
        row[-i] = row[0];
        row[width - 1 + i] = row[width - 1];
    }
}

/* The class of a pixel by its place or by the activity of its neighbours. */
INLINE uint32_t class_of(const band_t *b, const int16_t *p, int32_t stride, int32_t y, int32_t x)
{
    if (b->classes == 1) return 0;
    if (b->phased) return b->classes == 2 ? (uint32_t)y & 1 : 2 * ((uint32_t)y & 1) + ((uint32_t)x & 1);
    uint32_t class = 0, a = activity8(activity(p, stride));
    for (uint32_t i = 0; i + 1 < b->classes; i++) class += a >= b->threshold[i];
    return class;
}

typedef struct {
    const int16_t *rows[MAX_REFS][3];
    int16_t *own;
    uint16_t *error;
    const uint16_t *error_above;
    uint8_t *cells;             /* of this row; NULL without copies */
    const uint8_t *other_cells; /* of the band that has the same cells, or NULL */
    int32_t y, width, run;      /* run: pixels of the cell so far in this row */
} row_t;

/* What all taps but the pixels before add to a row's predictions, and the classes; n_refs is constant in every use. */
INLINE void predict(work_t *w, const band_t *b, const plane_t *plane, const row_t *row, uint32_t n_refs)
{
    int16_t taps[LANES];
    for (int32_t x = 0; x < plane->width; x++) {
        uint32_t class = class_of(b, row->own + x, plane->stride, row->y, x);
        const int16_t *weight = b->weight[class];
        int32_t sum = 0;
        gather(row->own, plane->stride, (const int16_t *const (*)[3])row->rows, n_refs, x, taps);
        for (uint32_t i = 0; i < OWN_LANES + REF_LANES * n_refs; i++) sum += (int32_t)taps[i] * weight[i];
        w->partial[x] = sum;
        w->class[x] = (uint8_t)class;
    }
}

/* The first row has none above: it takes the pixel before, and what the first reference adds to it. */
static void predict_first(work_t *w, const band_t *b, const row_t *row)
{
    for (int32_t x = 0; x < row->width; x++) {
        int32_t weight = b->weight[0][lane_of(1, 9)];
        w->partial[x] = b->n_refs && x ? weight * (row->rows[0][1][x] - row->rows[0][1][x - 1]) : 0;
        w->class[x] = 0;
    }
}

/* Does a pixel repeat the one before or above? Coarser cells do, resampled onto a finer grid. */
static int code_copy(coder_t *c, const work_t *w, model_t *m, const row_t *row, int32_t x)
{
    const uint8_t *above = row->cells - row->width;
    uint32_t other = row->other_cells ? row->other_cells[x] : 3;
    int has_above = row->y > 0 && above[x] != HOLE, cell = NEW;
    if (x > 0 && row->cells[x - 1] != HOLE) {
        int over = row->y > 0 && above[x] == LEFT, next = row->y > 0 && x + 1 < row->width && above[x + 1] == LEFT;
        if (code_bit(c, &m->left[row->run][over][next][other], w->codes[x] == m->given[x - 1])) cell = LEFT;
    }
    if (cell == NEW && has_above) {
        int beside = x > 0 && m->heights[x - 1] > 0;
        if (code_bit(c, &m->above[m->heights[x]][beside][other], w->codes[x] == m->given[x])) cell = ABOVE;
    }
    return cell;
}

static void keep_cell(model_t *m, row_t *row, int32_t x, int cell)
{
    row->cells[x] = (uint8_t)cell;
    row->run = cell == LEFT ? row->run + (row->run < 7) : 0;
    if (cell == LEFT) m->heights[x] = m->heights[x - 1];
    else if (cell == ABOVE) m->heights[x] = (uint8_t)(m->heights[x] + (m->heights[x] < 7));
    else m->heights[x] = 0;
}

/* One code by its prediction (1/16), by rank among those that pixels have, with the lowest bits of the rank by how
 * often they occur, where the band says so; *e: the error, in 1/16. */
INLINE int32_t code_value(coder_t *c, const residual_t *r, const band_t *b, int32_t predicted, uint32_t sum,
                          int32_t given, uint32_t *e)
{
    int32_t value = given;
    if (UNLIKELY(b->listed)) {
        const uint32_t *rank = b->rank16 + (predicted >> FRACTION);
        predicted = (int32_t)(rank[0] + ((rank[1] - rank[0]) * (uint32_t)(predicted & 15) >> 4));
        if (c->encoding) value = (int32_t)(b->rank16[given] >> 4);
    }
    const uint32_t fine = b->fine;
    int32_t upper = fine ? max32(predicted - (((1 << fine) - 1) << (FRACTION - 1)), 0) >> fine : predicted;
    upper = code_sample(c, r, min32(upper, r->last << FRACTION), sum >> fine, value >> fine);
    if (UNLIKELY(fine != 0)) {
        bit_t *tree = b->often + ((uint32_t)upper >> b->shared << fine);
        uint32_t node = 1;
        for (uint32_t i = fine; i-- > 0;) node = 2 * node + (uint32_t)code_bit(c, &tree[node], value >> i & 1);
        value = (upper << fine) + (int32_t)(node - (1u << fine));
        if (value > b->last_rank) {
            c->failed = c->failed ? c->failed : CORRUPT;
            value = 0;
        }
    } else {
        value = upper;
    }
    int32_t d = value * 16 - predicted;
    *e = (uint32_t)(d < 0 ? -d : d);
    return UNLIKELY(b->listed) ? b->code_of[value] : value;
}

/* A row on its way: what the pixel x, and those before it, bring to the next. */
typedef struct {
    int32_t before[LEFT_TAPS]; /* pixels x - 1, x - 2, x - 3 in prediction's bits */
    uint32_t left, second;     /* errors of x - 1 and x - 2, in 1/16 */
} window_t;

/* The errors around a pixel, which tell how large its own will be. */
INLINE uint32_t context_sum(const work_t *w, const band_t *b, const window_t *near, int32_t x)
{
    return w->above[x] + (b->phased ? 34 * near->second : 16 * near->left + 9 * near->second);
}

/* The prediction of a pixel in 1/16 of a code. */
INLINE int32_t predicted_code(const work_t *w, const band_t *b, const window_t *near, int32_t above, int32_t x)
{
    const int16_t *weight = b->weight[w->class[x]] + LANES;
    const int32_t drop = (int32_t)b->weight_bits - FRACTION;
    int32_t sum = w->partial[x];
    for (int i = 0; i < LEFT_TAPS; i++) sum += (near->before[i] - above) * weight[i];
    int32_t predicted = (above * (1 << FRACTION) + ((sum + (1 << (drop - 1))) >> drop)) * (1 << b->shift);
    return predicted < 0 ? 0 : min32(predicted, b->last << FRACTION);
}

/* A valid pixel: predicted, or in a band with copies perhaps repeated; *e: its error. The code it decodes to. */
INLINE int32_t code_pixel(coder_t *c, work_t *w, const residual_t *r, const band_t *b, row_t *row, const window_t *near,
                          int32_t above, int32_t x, int *cell, uint32_t *e)
{
    model_t *m = r->m;
    int32_t given = w->codes[x], code;
    *cell = NEW;
    if (UNLIKELY(b->copies)) {
        coder_t copy = *c;
        *cell = code_copy(&copy, w, m, row, x);
        *c = copy;
    }
    if (*cell == NEW) {
        code = code_value(c, r, b, predicted_code(w, b, near, above, x), context_sum(w, b, near, x), given, e);
    } else {
        code = *cell == LEFT ? w->codes[x - 1] : m->coded[x];
        *e = *cell == LEFT ? near->left : row->error_above[x];
    }
    w->codes[x] = code;
    m->given[x] = given;
    m->coded[x] = code;
    return code;
}

/* Codes of one row, in the grid of its band; `encoding` is a constant in every use. */
INLINE int32_t code_pixels(coder_t *outer, work_t *w, const residual_t *r, const band_t *b, row_t *row, int32_t stride,
                           const int encoding)
{
    coder_t c = *outer; /* in registers, as nothing takes its address */
    c.encoding = encoding;
    const int32_t first = row->own[-1];
    window_t near = {{first, first, first}, row->error_above[0], row->error_above[0]};
    int32_t x;
    for (x = 0; x < row->width; x++) {
        int32_t above = row->y ? row->own[x - stride] : near.before[0], value = (near.before[0] + above + 1) >> 1;
        uint32_t e = context_sum(w, b, &near, x) >> 7;
        int cell = HOLE;
        if (w->okay[x]) {
            value = code_pixel(&c, w, r, b, row, &near, above, x, &cell, &e) >> b->shift;
            if (UNLIKELY(c.failed)) break;
        }
        if (UNLIKELY(b->copies)) keep_cell(r->m, row, x, cell);
        row->own[x] = (int16_t)value;
        row->error[x] = (uint16_t)(e < 65535 ? e : 65535);
        near = (window_t){{value, near.before[0], near.before[1]}, row->error[x], near.left};
    }
    c.encoding = outer->encoding;
    *outer = c;
    return x;
}

int32_t code_row(coder_t *c, work_t *w, const residual_t *r, int32_t band, int32_t y, int32_t end)
{
    tile_t *t = &w->tile;
    band_t *b = &t->band[band];
    plane_t *plane = &t->plane[band];
    row_t row = {.own = plane->at + y * plane->stride, .error = r->m->error[y % 3], .y = y, .width = plane->width};
    row.error_above = r->m->error[(y + 2) % 3];
    if (b->copies) row.cells = t->cells[band] + (size_t)y * (size_t)plane->width;
    if (b->copies && b->cells_from >= 0) row.other_cells = t->cells[b->cells_from] + (size_t)y * (size_t)plane->width;
    for (uint32_t k = 0; k < b->n_refs; k++) ref_rows(&t->ref[band][k], y, end, row.rows[k]);
    start_row(plane, y);
    errors_above(r->m, plane->width, (int)b->phased, row.error_above, r->m->error[(y + 1) % 3], w->above);
    if (y == 0) predict_first(w, b, &row);
    else if (b->n_refs == 0) predict(w, b, plane, &row, 0);
    else if (b->n_refs == 1) predict(w, b, plane, &row, 1);
    else if (b->n_refs == 2) predict(w, b, plane, &row, 2);
    else predict(w, b, plane, &row, 3);
    int32_t done = c->encoding ? code_pixels(c, w, r, b, &row, plane->stride, 1)
                               : code_pixels(c, w, r, b, &row, plane->stride, 0);
    end_row(plane, y);
    pad_errors(row.error, plane->width);
    return done;
}

void load_validity(work_t *w, int32_t band, int32_t y)
{
    const tile_t *t = &w->tile;
    const grid_t *g = &t->band[band].grid;
    memset(w->okay, t->all_valid, sizeof w->okay);
    if (t->all_valid) return;
    for (int32_t row = max32(y * g->fy - g->oy, 0); row < min32((y + 1) * g->fy - g->oy, t->height); row++)
        for (int32_t x = 0; x < t->width; x++)
            if (t->valid[row * t->width + x]) w->okay[t->column[band][x]] = 1;
}

void load_codes(work_t *w, int32_t band, const int32_t *samples, int32_t y)
{
    const tile_t *t = &w->tile;
    const band_t *b = &t->band[band];
    const grid_t *g = &b->grid;
    int32_t first = max32(y * g->fy - g->oy, 0), last = min32((y + 1) * g->fy - g->oy, t->height);
    for (int32_t row = last - 1; row >= first; row--)
        for (int32_t x = t->width - 1; x >= 0; x--)
            if (t->valid[row * t->width + x]) w->codes[t->column[band][x]] = samples[row * t->width + x] - b->low;
    for (int32_t i = 0; i < t->plane[band].width && b->gcd > 1; i++) w->codes[i] /= b->gcd;
}

void store_row(const work_t *w, int32_t band, int32_t *samples, uint8_t *since, int layer, int32_t y, int32_t done)
{
    const tile_t *t = &w->tile;
    const band_t *b = &t->band[band];
    const grid_t *g = &b->grid;
    int32_t end = done < t->plane[band].width ? max32(done * g->fx - g->ox, 0) : t->width;
    for (int32_t row = max32(y * g->fy - g->oy, 0); row < min32((y + 1) * g->fy - g->oy, t->height); row++) {
        const size_t at = (size_t)row * (size_t)t->width;
        memset(since + at, layer + 1, (size_t)end);
        for (int32_t x = 0; x < end; x++)
            samples[at + (size_t)x] = t->valid[at + (size_t)x] ? b->low + b->gcd * w->codes[t->column[band][x]] : 0;
    }
}
