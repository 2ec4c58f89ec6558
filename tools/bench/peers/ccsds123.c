/* CCSDS 123.0-B-2 (low-complexity lossless and near-lossless multispectral image compression) for a bench: how many
 * bits a cube takes. Ours, written after the Blue Book and not checked against another implementation; no bitstream.
 *
 * Predictor (section 4): wide neighbour-oriented local sums, full mode, P previous bands, default weights, no weight
 * exponent offsets, sample representatives equal to bin centres (phi = psi = 0), absolute error limit. Entropy coders
 * (section 5): sample-adaptive, exactly; hybrid with its low-entropy codes taken at the empirical entropy of their
 * symbols, which no variable-length code goes below.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define MOST_BANDS 3
#define CODES 16
#define SYMBOLS 16

typedef struct {
    int32_t bands, height, width, depth; /* depth: bits a sample */
    int32_t previous, omega, v_min, v_max, t_inc_log, count_log, max_error;
} setting_t;

static int64_t clip(int64_t v, int64_t low, int64_t high) { return v < low ? low : v > high ? high : v; }

static int64_t floor_shift(int64_t v, int32_t by) { return by >= 0 ? v >> by : v * ((int64_t)1 << -by); }

static int64_t local_sum(const int32_t *s, int32_t w, int32_t y, int32_t x)
{
    const int32_t *p = s + (size_t)y * (size_t)w + x;
    if (y == 0) return 4 * (int64_t)p[-1];
    if (w == 1) return 4 * (int64_t)p[-w];
    if (x == 0) return 2 * ((int64_t)p[-w] + p[-w + 1]);
    if (x == w - 1) return (int64_t)p[-1] + p[-w - 1] + 2 * (int64_t)p[-w];
    return (int64_t)p[-1] + p[-w - 1] + p[-w] + p[-w + 1];
}

/* Differences that the weights apply to: three directions, then the previous bands' central ones. */
static void local_differences(const int32_t *s, int32_t w, int32_t y, int32_t x, int64_t sigma, const int32_t *central,
                              size_t plane, int32_t bands, int64_t *d)
{
    const int32_t *p = s + (size_t)y * (size_t)w + x;
    d[0] = y ? 4 * (int64_t)p[-w] - sigma : 0;
    d[1] = !y ? 0 : x ? 4 * (int64_t)p[-1] - sigma : d[0];
    d[2] = !y ? 0 : x ? 4 * (int64_t)p[-w - 1] - sigma : d[0];
    for (int32_t i = 0; i < bands; i++) d[3 + i] = central[-(ptrdiff_t)plane * (i + 1)];
}

typedef struct {
    int64_t sum, count, adaptive_bits;   /* sample-adaptive (5.4.3.2) */
    int64_t wide_sum, wide_count;        /* hybrid (5.4.3.3): its sum counts four times */
} coder_t;

typedef struct {
    int64_t seen[CODES][SYMBOLS], bits;
} hybrid_t;

static const int64_t THRESHOLD[CODES] = {303336, 225404, 166979, 128672, 95597, 69670, 50678, 34898,
                                         23331,  14935,  9282,   5510,   3195,  1928,  1112,  408};
static const int32_t SYMBOL_LIMIT[CODES] = {12, 10, 8, 6, 6, 4, 4, 4, 2, 2, 2, 2, 2, 2, 2, 0};

#define UNARY_LIMIT 18

static int64_t golomb_bits(int64_t v, int32_t k, int32_t depth)
{
    int64_t u = v >> k;
    return u < UNARY_LIMIT ? u + 1 + k : UNARY_LIMIT + depth;
}

static void start_coder(coder_t *c)
{
    c->count = c->wide_count = 2;
    c->sum = (((int64_t)3 << 9) - 49) * c->count >> 7; /* k' = 3 */
    c->wide_sum = 4 * c->sum;
    c->adaptive_bits = 0;
}

static void code_adaptive(coder_t *c, const setting_t *s, int64_t v)
{
    int64_t level = c->sum + (49 * c->count >> 7);
    int32_t k = 0;
    while (k < s->depth - 2 && c->count << (k + 1) <= level) k++;
    c->adaptive_bits += golomb_bits(v, k, s->depth);
    if (c->count == ((int64_t)1 << s->count_log) - 1) {
        c->sum = (c->sum + v + 1) >> 1;
        c->count = (c->count + 1) >> 1;
    } else {
        c->sum += v;
        c->count++;
    }
}

static void code_hybrid(coder_t *c, hybrid_t *h, const setting_t *s, int64_t v)
{
    if (c->wide_count == ((int64_t)1 << s->count_log) - 1) {
        c->wide_sum = (c->wide_sum + 4 * v + 1) >> 1;
        c->wide_count = (c->wide_count + 1) >> 1;
    } else {
        c->wide_sum += 4 * v;
        c->wide_count++;
    }
    if (c->wide_sum << 14 >= THRESHOLD[0] * c->wide_count) {
        int64_t level = c->wide_sum + (49 * c->wide_count >> 5);
        int32_t k = 2;
        while (k < s->depth - 2 && c->wide_count << (k + 3) <= level) k++;
        h->bits += golomb_bits(v, k, s->depth);
        return;
    }
    int32_t i = 0;
    while (i + 1 < CODES && c->wide_sum << 14 < THRESHOLD[i + 1] * c->wide_count) i++;
    int64_t symbol = v <= SYMBOL_LIMIT[i] ? v : SYMBOL_LIMIT[i] + 1;
    h->seen[i][symbol]++;
    if (v > SYMBOL_LIMIT[i]) h->bits += golomb_bits(v - SYMBOL_LIMIT[i] - 1, 0, s->depth);
}

static double low_entropy_bits(const hybrid_t *h)
{
    double bits = 0;
    for (int i = 0; i < CODES; i++) {
        double total = 0;
        for (int k = 0; k < SYMBOLS; k++) total += (double)h->seen[i][k];
        for (int k = 0; k < SYMBOLS; k++)
            if (h->seen[i][k]) bits -= (double)h->seen[i][k] * log2((double)h->seen[i][k] / total);
    }
    return bits;
}

typedef struct { int64_t weight[3 + MOST_BANDS]; int32_t n; } weights_t;

static void start_weights(weights_t *w, const setting_t *s, int32_t bands)
{
    memset(w, 0, sizeof *w);
    w->n = 3 + bands;
    int64_t next = (int64_t)7 << (s->omega - 3);
    for (int32_t i = 0; i < bands; i++, next >>= 3) w->weight[3 + i] = next;
}

static void update_weights(weights_t *w, const setting_t *s, const int64_t *d, int64_t error, int32_t t)
{
    int64_t age = floor_shift(t - s->width, s->t_inc_log);
    int32_t rho = (int32_t)clip(s->v_min + age, s->v_min, s->v_max) + s->depth - s->omega;
    int64_t most = ((int64_t)1 << (s->omega + 2)) - 1;
    for (int32_t i = 0; i < w->n; i++) {
        int64_t change = (floor_shift(error < 0 ? -d[i] : d[i], rho) + 1) >> 1;
        w->weight[i] = clip(w->weight[i] + change, -most - 1, most);
    }
}

/* Twice the predicted sample (4.7). */
static int64_t double_prediction(const setting_t *s, const weights_t *w, const int64_t *d, int64_t sigma)
{
    int64_t middle = (int64_t)1 << (s->depth - 1), high = ((int64_t)1 << s->depth) - 1, sum = 0;
    for (int32_t i = 0; i < w->n; i++) sum += w->weight[i] * d[i];
    int64_t v = sum + ((sigma - 4 * middle) << s->omega) + (middle << (s->omega + 2)) + ((int64_t)1 << (s->omega + 1));
    return clip(v, 0, (high << (s->omega + 2)) + ((int64_t)1 << (s->omega + 1))) >> (s->omega + 1);
}

/* Quantiser index to a non-negative number (4.11). */
static int64_t mapped(int64_t q, int64_t doubled, int64_t predicted, int64_t high, int64_t m, int32_t t)
{
    int64_t step = 2 * m + 1, below = t ? (predicted + m) / step : predicted, above = high - predicted;
    if (t) above = (above + m) / step;
    int64_t theta = below < above ? below : above, size = q < 0 ? -q : q;
    if (size > theta) return size + theta;
    int64_t sign = doubled & 1 ? -q : q;
    return sign >= 0 ? 2 * size : 2 * size - 1;
}

/* One band; decoded and central are its planes, those of earlier bands lie before them. Greatest error, or -1. */
static int64_t code_band(const setting_t *s, int32_t z, const int32_t *in, int32_t *decoded, int32_t *central, coder_t *c,
                         hybrid_t *h)
{
    size_t plane = (size_t)s->height * (size_t)s->width;
    int32_t bands = z < s->previous ? z : s->previous;
    int64_t high = ((int64_t)1 << s->depth) - 1, worst = 0, m = s->max_error;
    weights_t w;
    start_weights(&w, s, bands);
    start_coder(c);
    for (int32_t t = 0; t < (int32_t)plane; t++) {
        int32_t y = t / s->width, x = t % s->width;
        int64_t d[3 + MOST_BANDS], sigma = t ? local_sum(decoded, s->width, y, x) : 0, doubled;
        if (t) {
            local_differences(decoded, s->width, y, x, sigma, central + t, plane, bands, d);
            doubled = double_prediction(s, &w, d, sigma);
        } else {
            doubled = bands ? 2 * (int64_t)decoded[-(ptrdiff_t)plane] : 2 * ((int64_t)1 << (s->depth - 1));
        }
        int64_t predicted = doubled >> 1, delta = in[t] - predicted, q = delta;
        if (t && m) q = delta < 0 ? -((m - delta) / (2 * m + 1)) : (delta + m) / (2 * m + 1);
        int64_t value = clip(predicted + (t ? q * (2 * m + 1) : q), 0, high);
        int64_t number = mapped(q, doubled, predicted, high, m, t);
        if (t) {
            code_adaptive(c, s, number);
            code_hybrid(c, h, s, number);
            update_weights(&w, s, d, 2 * value - doubled, t);
        } else {
            c->adaptive_bits += s->depth;
            h->bits += s->depth;
        }
        decoded[t] = (int32_t)value;
        central[t] = t ? (int32_t)(4 * value - sigma) : 0;
        int64_t error = in[t] - value;
        worst = (error < 0 ? -error : error) > worst ? (error < 0 ? -error : error) : worst;
    }
    return worst;
}

/* Bits of a cube (bands, height, width) of samples 0 .. 2^depth - 1 by both coders, and the greatest error. 0, or -1
 * without memory.
 */
int ccsds123_bits(const int32_t *samples, const setting_t *s, double *adaptive, double *hybrid, int64_t *worst)
{
    size_t plane = (size_t)s->height * (size_t)s->width;
    int32_t *memory = malloc(2 * plane * (size_t)s->bands * sizeof *memory);
    hybrid_t h;
    if (!memory) return -1;
    memset(&h, 0, sizeof h);
    *adaptive = 0;
    *worst = 0;
    for (int32_t z = 0; z < s->bands; z++) {
        size_t at = (size_t)z * plane;
        coder_t c;
        int64_t error = code_band(s, z, samples + at, memory + at, memory + plane * (size_t)s->bands + at, &c, &h);
        *adaptive += (double)c.adaptive_bits;
        *worst = error > *worst ? error : *worst;
    }
    *hybrid = (double)h.bits + low_entropy_bits(&h);
    free(memory);
    return 0;
}
