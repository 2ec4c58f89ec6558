/* Rows of a band: prediction, contexts, residuals. The two directions run the same code. */
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O2") /* what -O3 adds makes these loops an eighth slower */
#endif
#include "rows.h"

enum { PLAIN = 0, COPIES = 1, REFINED = 2 }; /* what a band has, or both */

static void pad_errors(uint16_t *row, int32_t width)
{
    for (int32_t i = 1; i <= ERROR_PAD; i++) {
        row[-i] = row[0];
        row[width - 1 + i] = row[width - 1];
    }
}

/* Does a pixel repeat the one before or above? Coarser cells do, resampled onto a finer grid. */
INLINE int code_copy(coder_t *c, const work_t *w, model_t *m, const row_t *row, int32_t x)
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

/* What holds of all rows of a band, in one place: nothing that is stored meanwhile can change it. */
typedef struct {
    int32_t drop, round, most, last_rank;
    uint32_t shift, fine, shared, phased;
    const uint32_t *ranks; /* NULL where no values are listed */
    const uint16_t *code_of;
    bit_t *often;
    int32_t left[MAX_CLASSES][LEFT_TAPS]; /* weights of the pixels before */
} rules_t;

static rules_t rules_of(const band_t *b, int32_t y)
{
    const int32_t drop = (int32_t)b->weight_bits - FRACTION;
    rules_t k = {.drop = drop, .round = 1 << (drop - 1), .most = b->last << FRACTION, .last_rank = b->last_rank,
                 .shift = b->shift, .fine = b->fine, .shared = b->shared, .phased = b->phased,
                 .ranks = b->listed ? b->rank16 : NULL, .code_of = b->code_of, .often = b->often};
    for (uint32_t class = 0; class < b->classes; class++)
        for (uint32_t i = 0; i < LEFT_TAPS; i++) k.left[class][i] = b->weight[class][LANES + i];
    if (y == 0) k.left[0][0] = -k.left[0][1] - k.left[0][2]; /* the pixel before stands above, too: differences from it */
    return k;
}

/* The lowest bits of a rank below its upper ones, by how often they occur. */
INLINE int32_t code_fine(coder_t *c, const rules_t *k, int32_t upper, int32_t value)
{
    bit_t *tree = k->often + ((uint32_t)upper >> k->shared << k->fine);
    uint32_t node = 1;
    for (uint32_t i = k->fine; i-- > 0;) node = 2 * node + (uint32_t)code_bit(c, &tree[node], value >> i & 1);
    value = (upper << k->fine) + (int32_t)(node - (1u << k->fine));
    if (value <= k->last_rank) return value;
    c->failed = c->failed ? c->failed : CORRUPT;
    return 0;
}

/* One code by its prediction (1/16), by rank among those that pixels have, with the lowest bits of the rank by how
 * often they occur, where the band says so; *e: the error, in 1/16. */
INLINE int32_t code_value(coder_t *c, const residual_t *r, const rules_t *k, int32_t predicted, uint32_t sum,
                          int32_t given, uint32_t *e)
{
    int32_t value = given;
    if (k->ranks) {
        const uint32_t *rank = k->ranks + (predicted >> FRACTION);
        predicted = (int32_t)(rank[0] + ((rank[1] - rank[0]) * (uint32_t)(predicted & 15) >> 4));
        if (c->encoding) value = (int32_t)(k->ranks[given] >> 4);
    }
    int32_t upper = predicted;
    if (k->fine) {
        upper = max32(predicted - (((1 << k->fine) - 1) << (FRACTION - 1)), 0) >> k->fine;
        upper = min32(upper, r->last << FRACTION);
    }
    upper = code_sample(c, r, upper, sum >> k->fine, value >> k->fine);
    value = k->fine ? code_fine(c, k, upper, value) : upper;
    int32_t d = value * 16 - predicted;
    *e = (uint32_t)(d < 0 ? -d : d);
    return k->ranks ? k->code_of[value] : value;
}

/* A row on its way: what the pixel x, and those before it, bring to the next. */
typedef struct {
    int32_t before[LEFT_TAPS]; /* pixels x - 1, x - 2, x - 3 in prediction's bits */
    uint32_t left, second;     /* errors of x - 1 and x - 2, in 1/16 */
    int32_t missed[2];         /* the same with their signs, before predictions were refined */
} window_t;

/* The errors around a pixel, which tell how large its own will be. */
INLINE uint32_t context_sum(const work_t *w, const rules_t *k, const window_t *near, int32_t x)
{
    if (k->phased) return w->above[x] + 34 * near->second;
    return w->above[x] + 9 * near->second + 16 * near->left;
}

/* The prediction of a pixel in 1/16 of a code. The pixel before is the last to be known. */
INLINE int32_t predicted_code(const work_t *w, const rules_t *k, const window_t *near, int32_t above, int32_t x)
{
    const int32_t *weight = k->left[w->class[x]];
    int32_t sum = w->partial[x] + near->before[2] * weight[2] + near->before[1] * weight[1];
    sum = (sum + near->before[0] * weight[0] + k->round) >> k->drop;
    int32_t predicted = (above * (1 << FRACTION) + sum) * (1 << k->shift);
    return predicted < 0 ? 0 : min32(predicted, k->most);
}

/* A prediction refined, and the sum of errors with it. */
INLINE int32_t refined_code(work_t *w, const rules_t *k, const row_t *row, const window_t *near, int32_t above,
                            int32_t x, int32_t stride, int32_t predicted, uint32_t *sum)
{
    refine_t *f = &w->refine;
    const near_t beside = {16 * (near->before[1] - above), 16 * (row->own[x - 1 - stride] - above), near->missed[1]};
    const uint64_t out =
        w->sums->pixel(f, x, predicted - 16 * above, 16 * (near->before[0] - above), near->missed[0], &beside);
    *sum = (uint32_t)((uint64_t)*sum * gain_of(out) >> 12);
    predicted += move_of(out, f->scale[x]);
    return predicted < 0 ? 0 : min32(predicted, k->most);
}

/* A valid pixel: predicted, or in a band with copies perhaps repeated; *e: its error. The code it decodes to. */
INLINE int32_t code_pixel(coder_t *c, work_t *w, const residual_t *r, const rules_t *k, row_t *row, int32_t stride,
                          const window_t *near, int32_t above, int32_t x, int *cell, uint32_t *e, const int kind)
{
    model_t *m = r->m;
    const int copies = kind & COPIES, refined = kind & REFINED;
    int32_t given = w->codes[x], code;
    *cell = NEW;
    if (copies) *cell = code_copy(c, w, m, row, x);
    if (*cell == NEW) {
        int32_t plain = predicted_code(w, k, near, above, x), predicted = plain;
        uint32_t sum = context_sum(w, k, near, x);
        if (refined && row->y >= UNSEEN)
            predicted = refined_code(w, k, row, near, above, x, stride, plain, &sum);
        code = code_value(c, r, k, predicted, sum, given, e);
        if (refined) row->missed[x] = 16 * code - plain;
    } else {
        code = *cell == LEFT ? w->codes[x - 1] : m->coded[x];
        *e = *cell == LEFT ? near->left : row->error_above[x];
        if (refined) row->missed[x] = *cell == LEFT ? near->missed[0] : row->missed_above[x];
    }
    w->codes[x] = code;
    if (!copies) return code;
    m->given[x] = given;
    m->coded[x] = code;
    return code;
}

/* Codes of one row, in the grid of its band. Constants in every use: `encoding`, DECODING or QUEUEING; `kind`, but for the
 * encoder's copies; `exact`: is it known that steps are of 1. */
INLINE int32_t code_pixels(coder_t *outer, work_t *w, const residual_t *given, const rules_t *rules, row_t *row,
                           int32_t stride, const int encoding, const int kind, const int exact)
{
    const int copies = kind & COPIES, refined = kind & REFINED;
    coder_t c = *outer; /* in registers, as nothing takes its address, and so the others */
    const rules_t k = *rules;
    const residual_t r = {given->m, exact ? 1 : given->step, given->last, given->inverse, given->reciprocal};
    c.encoding = encoding;
    const int32_t first = row->own[-1], width = row->width, y = row->y;
    const uint8_t *okay = w->okay;
    int16_t *own = row->own;
    window_t near = {{first, first, first}, row->error_above[0], row->error_above[0], {0, 0}};
    if (refined) near.missed[0] = near.missed[1] = row->missed_above[0];
    int32_t x;
    for (x = 0; x < width; x++) {
        int32_t above = y ? own[x - stride] : near.before[0], value;
        uint32_t e;
        int cell = HOLE;
        if (okay[x]) {
            value = code_pixel(&c, w, &r, &k, row, stride, &near, above, x, &cell, &e, kind) >> k.shift;
            if (UNLIKELY(c.failed)) break;
        } else {
            value = (near.before[0] + above + 1) >> 1;
            e = context_sum(w, &k, &near, x) >> 7;
            if (refined) row->missed[x] = 0;
        }
        if (copies) keep_cell(r.m, row, x, cell);
        e = e < 65535 ? e : 65535;
        own[x] = (int16_t)value;
        row->error[x] = (uint16_t)e;
        near = (window_t){{value, near.before[0], near.before[1]}, e, near.left, {0, near.missed[0]}};
        if (refined) near.missed[0] = row->missed[x];
    }
    c.encoding = outer->encoding;
    *outer = c;
    return x;
}

/* The encoder's row: first what comes, then its bits. */
static int32_t encode_row(coder_t *c, work_t *w, const residual_t *r, const band_t *b, row_t *row, int32_t stride)
{
    const rules_t k = rules_of(b, row->y);
    int32_t done = row->width;
    c->queue = w->queue;
    c->base = (bit_t *)(void *)w;
    if (!b->copies && row->y && r->step == 1 && !b->shift) queue_exact(c, w, r, b, row, stride);
    else if (b->copies) done = code_pixels(c, w, r, &k, row, stride, QUEUEING, row->missed ? COPIES | REFINED : COPIES, 0);
    else if (row->missed) done = code_pixels(c, w, r, &k, row, stride, QUEUEING, REFINED, 0);
    else done = code_pixels(c, w, r, &k, row, stride, QUEUEING, PLAIN, 0);
    coder_drain(c, w->queue, c->queue);
    return done;
}

static int32_t decode_row(coder_t *c, work_t *w, const residual_t *r, const band_t *b, row_t *row, int32_t stride)
{
    const rules_t k = rules_of(b, row->y);
    if (b->copies && row->missed) return code_pixels(c, w, r, &k, row, stride, DECODING, COPIES | REFINED, 0);
    if (b->copies) return code_pixels(c, w, r, &k, row, stride, DECODING, COPIES, 0);
    if (row->missed && r->step == 1) return code_pixels(c, w, r, &k, row, stride, DECODING, REFINED, 1);
    if (row->missed) return code_pixels(c, w, r, &k, row, stride, DECODING, REFINED, 0);
    if (r->step == 1) return code_pixels(c, w, r, &k, row, stride, DECODING, PLAIN, 1);
    return code_pixels(c, w, r, &k, row, stride, DECODING, PLAIN, 0);
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
    predict(w, b, r->m, &row, plane->stride);
    if (is_refined(t, b)) {
        row.missed = r->m->missed[y % 3];
        row.missed_above = r->m->missed[(y + 2) % 3];
        refine_row(w, r->m, b, &row, plane->stride);
    }
    int32_t done = c->encoding ? encode_row(c, w, r, b, &row, plane->stride)
                               : decode_row(c, w, r, b, &row, plane->stride);
    end_row(plane, y);
    pad_errors(row.error, plane->width);
    for (int32_t i = 1; row.missed && i <= ERROR_PAD; i++) {
        row.missed[-i] = row.missed[0];
        row.missed[row.width - 1 + i] = row.missed[row.width - 1];
    }
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
