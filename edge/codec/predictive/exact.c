/* A row of the lossless encoder: its pixels are known beforehand, so that all of a step is done before the next one, and
 * bits are queued without asking which way they fall. rows.c queues the same bits, pixel by pixel.
 */
#include "rows.h"

/* Pixels that are not coded, as rows.c has them, into the plane. */
static void fill_holes(const work_t *w, const row_t *row, int32_t stride)
{
    int16_t *own = row->own;
    for (int32_t x = 0; x < row->width; x++)
        if (!w->okay[x]) own[x] = (int16_t)((own[x - 1] + own[x - stride] + 1) >> 1);
}

/* Predictions in 1/16 of a code, from w->partial. */
static void predict_row(work_t *w, const band_t *b, const row_t *row, int32_t stride)
{
    const int16_t *own = row->own, *up = own - stride;
    const int32_t drop = (int32_t)b->weight_bits - FRACTION, round = 1 << (drop - 1), most = b->last << FRACTION;
    const uint8_t *class = w->class;
    const int32_t *partial = w->partial;
    int32_t *restrict out = w->predicted;
    for (int32_t x = 0; x < row->width; x++) {
        const int16_t *weight = b->weight[class[x]] + LANES;
        int32_t sum = partial[x] + round;
        for (int i = 0; i < LEFT_TAPS; i++) sum += own[x - 1 - i] * weight[i];
        int32_t predicted = up[x] * (1 << FRACTION) + (sum >> drop);
        out[x] = predicted < 0 ? 0 : min32(predicted, most);
    }
}

/* Predictions refined, and by how much to multiply what is expected of the errors. */
static void refine_predictions(work_t *w, const band_t *b, const row_t *row, int32_t stride)
{
    refine_t *f = &w->refine;
    const int16_t *own = row->own;
    const int32_t most = b->last << FRACTION;
    int32_t *missed = row->missed;
    for (int32_t x = 0; x < row->width; x++) missed[x] = w->okay[x] ? 16 * own[x] - w->predicted[x] : 0;
    if (row->y < UNSEEN) return;
    missed[-1] = missed[-2] = row->missed_above[0]; /* until the row is padded */
    w->sums->put_near(f, own, stride, w->predicted, missed, row->width);
    w->sums->put_outputs(f, row->width);
    for (int32_t x = 0; x < row->width; x++) {
        int32_t predicted = w->predicted[x] + move_of(f->out[x], f->scale[x]);
        w->predicted[x] = predicted < 0 ? 0 : min32(predicted, most);
    }
}

static void gain_row(work_t *w, int32_t width)
{
    for (int32_t x = 0; x < width; x++)
        w->above[x] = (uint32_t)((uint64_t)w->above[x] * gain_of(w->refine.out[x]) >> 12);
}

/* Pixels and predictions as ranks among the values that pixels have, where the band lists those. */
static void rank_row(work_t *w, const band_t *b, const row_t *row)
{
    const uint32_t *ranks = b->rank16;
    for (int32_t x = 0; x < row->width; x++) {
        int32_t predicted = w->predicted[x];
        const uint32_t *rank = ranks + (predicted >> FRACTION);
        w->predicted[x] = (int32_t)(rank[0] + ((rank[1] - rank[0]) * (uint32_t)(predicted & 15) >> 4));
        w->codes[x] = (int32_t)(ranks[w->codes[x]] >> 4);
    }
}

/* The errors of the row, in 1/16, and the sums around every pixel, into w->above. */
static void row_errors(work_t *w, const band_t *b, const row_t *row)
{
    const int32_t *predicted = w->predicted, *value = w->codes;
    uint16_t *restrict error = row->error;
    uint32_t *restrict sum = w->above;
    for (int32_t x = 0; x < row->width; x++) {
        int32_t d = value[x] * 16 - predicted[x];
        d = d < 0 ? -d : d;
        error[x] = (uint16_t)(d < 65535 ? d : 65535);
    }
    error[-1] = error[-2] = row->error_above[0]; /* until the row is padded */
    for (int32_t x = 0; x < row->width && !w->tile.all_valid; x++)
        if (!w->okay[x]) {
            const uint32_t near = b->phased ? 34u * error[x - 2] : 16u * error[x - 1] + 9u * error[x - 2];
            const uint32_t e = (sum[x] + near) >> 7;
            error[x] = (uint16_t)(e < 65535 ? e : 65535);
        }
    if (b->phased)
        for (int32_t x = 0; x < row->width; x++) sum[x] += 34u * error[x - 2];
    else
        for (int32_t x = 0; x < row->width; x++) sum[x] += 16u * error[x - 1] + 9u * error[x - 2];
}

/* What of the ranks is predicted where their lowest bits are coded by how often they occur; see code_value. */
static void split_row(work_t *w, uint32_t fine, int32_t last, int32_t width)
{
    const int32_t below = ((1 << fine) - 1) << (FRACTION - 1), most = last << FRACTION;
    int32_t *restrict predicted = w->predicted;
    uint32_t *restrict sum = w->above;
    for (int32_t x = 0; x < width; x++) {
        predicted[x] = min32(max32(predicted[x] - below, 0) >> fine, most);
        sum[x] >>= fine;
    }
}

#define AT_ONCE 8

/* code_magnitude's bits, without asking which way they fall: more are written than are kept. */
INLINE uint32_t *queue_magnitude(coder_t *c, const residual_t *r, level_t *l, uint32_t *q, uint32_t k, uint32_t e)
{
    uint32_t units = e >> k, place = place_of(c, &l->more[0]);
    if (UNLIKELY(units >= AT_ONCE)) {
        coder_t copy = *c;
        copy.encoding = QUEUEING;
        copy.queue = q;
        code_magnitude(&copy, r, l, k, e);
        return copy.queue;
    }
    for (uint32_t n = 0; n < AT_ONCE; n++) q[n] = place + 2 * n + (n < units);
    q += units + 1;
    if (k == 0) return q;
    uint32_t low = place_of(c, &l->low[units < 2 ? units : 2][0]), raw = k > 2 ? k - 2 : 0;
    q[0] = low + (e >> (k - 1) & 1);
    q[1] = low + 2 + (k > 1 ? e >> (k - 2) & 1 : 0);
    q[2] = RAW | raw << 16 | (e & ((1u << raw) - 1));
    return q + 1 + (k > 1) + (k > 2);
}

/* code_sample's bits for d, the difference from the nearest value to the prediction, of which up is 1/2 above. */
INLINE uint32_t *queue_sample(coder_t *c, const residual_t *r, uint32_t *q, int32_t up, uint32_t sum, int32_t d)
{
    uint32_t context = FRACTION_CONTEXT[up & 15], level = level_of(sum), negative = d < 0;
    level_t *l = &r->m->level[level];
    if (level < SIGN_FIRST) {
        uint32_t away = context < 2 ? 2 - context : context - 2;
        *q++ = place_of(c, &l->zero[away]) + (d != 0);
        if (d == 0) return q;
        *q++ = place_of(c, &l->sign[context]) + negative;
        return queue_magnitude(c, r, l, q, 0, (uint32_t)(d < 0 ? -d : d) - 1);
    }
    *q++ = place_of(c, &l->sign[context]) + negative;
    return queue_magnitude(c, r, l, q, (level >> 2) - 4, (uint32_t)(negative ? -d - 1 : d));
}

/* code_value's bits below those of code_sample. */
INLINE uint32_t *queue_fine(const coder_t *c, const band_t *b, uint32_t *q, uint32_t value)
{
    const bit_t *tree = b->often + (value >> b->fine >> b->shared << b->fine);
    for (uint32_t i = b->fine, node = 1; i-- > 0; node = 2 * node + (value >> i & 1))
        *q++ = place_of(c, &tree[node]) + (value >> i & 1);
    return q;
}

void queue_exact(coder_t *c, work_t *w, const residual_t *r, const band_t *b, const row_t *row, int32_t stride)
{
    uint32_t *q = c->queue;
    const uint32_t fine = b->fine;
    if (!w->tile.all_valid) fill_holes(w, row, stride);
    predict_row(w, b, row, stride);
    if (row->missed) refine_predictions(w, b, row, stride);
    if (b->listed) rank_row(w, b, row);
    row_errors(w, b, row);
    if (row->missed && row->y >= UNSEEN) gain_row(w, row->width);
    if (fine) split_row(w, fine, r->last, row->width);
    for (int32_t x = 0; x < row->width; x++) {
        int32_t up = w->predicted[x] + (1 << (FRACTION - 1)), value = w->codes[x];
        if (!w->okay[x]) continue;
        q = queue_sample(c, r, q, up, w->above[x], (value >> fine) - (up >> FRACTION));
        if (fine) q = queue_fine(c, b, q, (uint32_t)value);
    }
    c->queue = q;
}
