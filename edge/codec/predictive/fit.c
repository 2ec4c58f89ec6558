/* The encoder's weights: least squares over the tile, per class of activity, in fixed point.
 *
 * Quiet pixels count more (weight ~ 1/activity): an error costs bits by its size relative to those around it.
 */
#include "plan.h"

/* log2 in 1/256, 0 for 0. */
static int32_t log2_256(uint64_t v)
{
    if (v == 0) return 0;
    int32_t top = 0;
    while (v >> (top + 1)) top++;
    uint64_t m = top > 31 ? v >> (top - 31) : v << (31 - top); /* [2^31, 2^32) */
    int32_t out = top;
    for (int i = 0; i < 8; i++) {
        m = m * m >> 31;
        out = 2 * out + (m >> 32 ? 1 : 0);
        if (m >> 32) m >>= 1;
    }
    return out;
}

/* What is left of a lane list when only those of a set count: lanes come by the first set that has them. */
static uint32_t list_lanes(uint32_t n_refs, uint8_t *lanes, uint32_t *ends)
{
    uint32_t n = 0;
    for (uint32_t set = 0; set < TAP_SETS; set++) {
        for (uint32_t lane = 0; lane < OWN_TAPS + REF_TAPS * n_refs; lane++) {
            int own = lane < OWN_TAPS;
            uint32_t bit = own ? lane : (lane - OWN_TAPS) % REF_TAPS;
            const uint32_t *masks = own ? OWN_SET : REF_SET;
            if ((masks[set] >> bit & 1) && !(set && (masks[set - 1] >> bit & 1))) lanes[n++] = (uint8_t)lane;
        }
        ends[set] = n;
    }
    return n;
}

/* Which pixels are looked at, their mean activity, and the quarters of activity. */
static int32_t survey(fit_t *f, const tile_t *t, int32_t band)
{
    const plane_t *p = &t->plane[band];
    int32_t n = (p->height - 2) * p->width, histogram[128] = {0};
    int64_t total = 0;
    f->n = 0;
    f->stride = max32(1, n / FIT_SAMPLES) | 1;
    for (int32_t i = 0; i < n; i += f->stride) {
        int32_t y = 2 + i / p->width, x = i % p->width;
        if (!cell_is_valid(t, band, y, x)) continue;
        uint32_t a = activity(p->at + y * p->stride + x, p->stride);
        total += a;
        histogram[activity8(a)]++;
        f->n++;
    }
    if (f->n == 0) return 0;
    f->soften = (int32_t)(total / f->n / 8) + 1;
    uint32_t mean = (uint32_t)(total / f->n) + 1;
    f->shift = ilog2(mean) > 8 ? ilog2(mean) - 8 : 0;
    int32_t below = 0, quarter = 0;
    for (uint32_t a = 0; a < 128; a++) {
        while (quarter < 3 && (int64_t)below * 4 >= (int64_t)(quarter + 1) * f->n) f->quarter[quarter++] = a;
        below += histogram[a];
    }
    while (quarter < 3) f->quarter[quarter++] = 127;
    return f->n;
}

static void flush_products(fit_t *f, uint32_t class)
{
    int32_t n = f->n_lanes + 1, filled = f->filled[class];
    for (int32_t i = 0; i < n; i++) {
        memset(&f->chunk[class][i][filled], 0, (size_t)(CHUNK - filled) * sizeof(int16_t));
        for (int32_t j = 0; j <= i; j++) {
            const int16_t *a = f->chunk[class][i], *b = f->chunk[class][j];
            int32_t sum = 0;
            for (int32_t k = 0; k < CHUNK; k++) sum += (int32_t)a[k] * b[k];
            f->product[class][i][j] += sum;
        }
    }
    f->filled[class] = 0;
}

static int16_t tame(int32_t v, int32_t q, uint32_t shift)
{
    v = (v * q) >> (8 + shift);
    return (int16_t)(v < -2047 ? -2047 : v > 2047 ? 2047 : v);
}

/* Sums of products of taps and target over the pixels, by class; quiet pixels count more: errors there are small. */
static void accumulate(fit_t *f, const tile_t *t, int32_t band)
{
    const plane_t *p = &t->plane[band];
    const band_t *b = &t->band[band];
    int32_t n = (p->height - 2) * p->width;
    memset(f->product, 0, sizeof f->product);
    memset(f->filled, 0, sizeof f->filled);
    f->weight = 0;
    for (int32_t i = 0; i < n; i += f->stride) {
        int32_t y = 2 + i / p->width, x = i % p->width;
        if (!cell_is_valid(t, band, y, x)) continue;
        const int16_t *rows[MAX_REFS][3], *at = p->at + y * p->stride;
        int16_t taps[LANES];
        for (uint32_t k = 0; k < b->n_refs; k++) ref_rows(&t->ref[band][k], y, p->height, rows[k]);
        int32_t middle = gather(at, p->stride, (const int16_t *const (*)[3])rows, b->n_refs, x, taps);
        uint32_t a = activity(at + x, p->stride), class = 0, a8 = activity8(a);
        for (int k = 0; k < 3; k++) class += a8 >= f->quarter[k];
        int32_t q = (int32_t)isqrt64(((uint64_t)f->soften << 16) / (a + (uint32_t)f->soften));
        int32_t column = f->filled[class]++;
        for (int32_t k = 0; k < f->n_lanes; k++)
            f->chunk[class][k][column] = tame(taps[f->lane[k]], q, f->shift);
        f->chunk[class][f->n_lanes][column] = tame(at[x] - middle, q, f->shift);
        f->weight += q * q;
        if (f->filled[class] == CHUNK) flush_products(f, class);
    }
    for (uint32_t class = 0; class < MAX_CLASSES; class++) flush_products(f, class);
}

/* What quantisation adds to the squares of the taps: they will be read from decoded samples. */
static int64_t noise(const fit_t *f, const band_t *b, int32_t max_error)
{
    int64_t step = (2 * (int64_t)(max_error / b->gcd) + 1) >> b->shift;
    return (step * step * f->weight / 12 >> 16) >> (2 * f->shift);
}

static void merge(const fit_t *f, uint32_t from, uint32_t count, int64_t a[FIT_SIZE][FIT_SIZE])
{
    for (int32_t i = 0; i <= f->n_lanes; i++)
        for (int32_t j = 0; j <= i; j++) {
            a[i][j] = 0;
            for (uint32_t c = from; c < from + count; c++) a[i][j] += f->product[c][i][j];
        }
}

static int32_t even_log(int64_t v) /* least even e with v < 2^e */
{
    int32_t e = 0;
    while (v >> e) e += 2;
    return e;
}

static int64_t shifted(int64_t v, int32_t left) { return left >= 0 ? v * ((int64_t)1 << left) : v >> -left; }

/* a (lower half) into L and pivots: scaled to 2^30, a ridge added, then LDL' in fixed point. */
static void factorise(solution_t *s, int64_t a[FIT_SIZE][FIT_SIZE], const int64_t *extra, int32_t n, int32_t target_log)
{
    for (int32_t i = 0; i <= n; i++) s->log[i] = i < n ? even_log(a[i][i] + extra[i]) : target_log;
    for (int32_t i = 0; i <= n; i++)
        for (int32_t j = 0; j <= i; j++) {
            int64_t v = a[i][j] + (i == j && i < n ? extra[i] : 0);
            int64_t m = shifted(v, 30 - (s->log[i] + s->log[j]) / 2);
            if (i == j && i < n) m += (m >> RIDGE) + LEAST_PIVOT;
            for (int32_t k = 0; k < j; k++) m -= (s->ratio[i][k] * s->pivoted[j][k]) >> RATIO_BITS;
            if (i == j && i < n && m < LEAST_PIVOT) m = LEAST_PIVOT;
            s->pivoted[i][j] = m;
            if (i == j) break;
            int64_t ratio = m * ((int64_t)1 << RATIO_BITS) / s->pivoted[j][j];
            s->ratio[i][j] = ratio > RATIO_LIMIT ? RATIO_LIMIT : ratio < -RATIO_LIMIT ? -RATIO_LIMIT : ratio;
        }
}

/* Squared error that the first n taps leave, in the target's scale. */
static int64_t left_over(const solution_t *s, int32_t lanes, int32_t n)
{
    int64_t e = s->start;
    for (int32_t k = 0; k < n; k++) e -= (s->ratio[lanes][k] * s->pivoted[lanes][k]) >> RATIO_BITS;
    return e > 0 ? e : 0;
}

static void solve(solution_t *s, const fit_t *f, uint32_t from, uint32_t count, const int64_t *extra)
{
    int64_t a[FIT_SIZE][FIT_SIZE], scaled[FIT_SIZE];
    merge(f, from, count, a);
    for (int32_t i = 0; i < f->n_lanes; i++) scaled[i] = extra[i] * count / MAX_CLASSES;
    factorise(s, a, scaled, f->n_lanes, f->target_log);
    s->start = shifted(a[f->n_lanes][f->n_lanes], 30 - f->target_log);
}

/* Weights in 1/2^13 of the first n taps. */
static void back_substitute(const solution_t *s, int32_t lanes, int32_t n, int32_t *out)
{
    int64_t w[FIT_SIZE];
    for (int32_t i = n - 1; i >= 0; i--) {
        w[i] = s->ratio[lanes][i];
        for (int32_t k = i + 1; k < n; k++) w[i] -= (s->ratio[k][i] * w[k]) >> RATIO_BITS;
        w[i] = w[i] > RATIO_LIMIT ? RATIO_LIMIT : w[i] < -RATIO_LIMIT ? -RATIO_LIMIT : w[i];
        out[i] = (int32_t)shifted(w[i], WEIGHT_BITS - RATIO_BITS + (s->log[lanes] - s->log[i]) / 2);
    }
}

/* Number of classes (as a power of two) and tap set with the least bits, those of the weights included. */
static void choose_size(const fit_t *f, const solution_t *s, int64_t pixels, uint32_t *log_classes, uint32_t *set)
{
    int64_t best = INT64_MAX;
    for (uint32_t log = 0; log <= 2; log++)
        for (uint32_t i = 0; i < TAP_SETS; i++) {
            int64_t e = 0, n = (int64_t)f->end[i] << log;
            for (uint32_t c = 0; c < 1u << log; c++) e += left_over(&s[(1u << log) - 1 + c], f->n_lanes, (int32_t)f->end[i]);
            int64_t bits = pixels * log2_256((uint64_t)(e + f->n)) / 2 + n * WEIGHT_COST * 256;
            if (bits >= best) continue;
            best = bits;
            *log_classes = log;
            *set = i;
        }
}

/* The weights' units: rounding to them costs about as much as their digits would. */
static void choose_units(fit_t *f, band_t *b, int64_t error, int64_t pixels)
{
    for (uint32_t g = 0; g <= b->n_refs; g++) {
        int64_t sum = 0, count = 0;
        for (uint32_t k = 0; k < f->end[b->tap_set]; k++) {
            uint32_t group = f->lane[k] < OWN_TAPS ? 0 : 1 + (f->lane[k] - OWN_TAPS) / REF_TAPS;
            if (group != g) continue;
            for (uint32_t c = 0; c < MAX_CLASSES; c++) sum += f->product[c][k][k];
            count++;
        }
        int64_t mean = count ? sum / count + 1 : 1;
        int64_t squared = (error * 12 / mean + 1) * ((int64_t)1 << (2 * WEIGHT_BITS)) / pixels;
        uint32_t e = 0;
        while (e < WEIGHT_BITS && squared >> (2 * e + 2)) e++;
        b->exponent[g] = e;
    }
}

static int32_t rounded(int32_t v, uint32_t exponent)
{
    int32_t unit = 1 << exponent, half = unit >> 1;
    return v < 0 ? -((half - v) / unit * unit) : (v + half) / unit * unit;
}

/* Into the plan; a class whose weights are beyond the limits keeps none. */
static void keep_weights(const fit_t *f, band_t *b, const solution_t *s, uint32_t class)
{
    int32_t w[FIT_SIZE], sum = 0, n = (int32_t)f->end[b->tap_set];
    back_substitute(s, f->n_lanes, n, w);
    for (int32_t k = 0; k < n; k++) {
        uint32_t group = f->lane[k] < OWN_TAPS ? 0 : 1 + (f->lane[k] - OWN_TAPS) / REF_TAPS;
        w[k] = rounded(w[k] < -32767 ? -32767 : w[k] > 32767 ? 32767 : w[k], b->exponent[group]);
        if (w[k] > 32767 || w[k] < -32767) w[k] = 0;
        sum += w[k] < 0 ? -w[k] : w[k];
    }
    for (int32_t k = 0; k < n; k++) b->weight[class][f->lane[k]] = (int16_t)(sum <= WEIGHT_LIMIT ? w[k] : 0);
}

void choose_predictor(fit_t *f, tile_t *t, int32_t band, const int32_t *max_error)
{
    band_t *b = &t->band[band];
    const plane_t *p = &t->plane[band];
    int64_t pixels = (int64_t)p->height * p->width, extra[FIT_SIZE];
    memset(b->weight, 0, sizeof b->weight);
    b->tap_set = b->scale = 0;
    b->classes = 1;
    memset(b->exponent, 0, sizeof b->exponent);
    if (p->height < 3 || survey(f, t, band) < LEAST_SAMPLES) {
        b->n_refs = 0;
        return;
    }
    f->n_lanes = (int32_t)list_lanes(b->n_refs, f->lane, f->end);
    accumulate(f, t, band);
    int64_t target = 0;
    for (uint32_t c = 0; c < MAX_CLASSES; c++) target += f->product[c][f->n_lanes][f->n_lanes];
    f->target_log = even_log(target);
    for (int32_t k = 0; k < f->n_lanes; k++) {
        int32_t source = f->lane[k] < OWN_TAPS ? band : (int32_t)b->refs[(f->lane[k] - OWN_TAPS) / REF_TAPS];
        extra[k] = max_error[source] ? noise(f, &t->band[source], max_error[source]) : 0;
    }
    for (uint32_t log = 0; log <= 2; log++)
        for (uint32_t c = 0; c < 1u << log; c++)
            solve(&f->solution[(1u << log) - 1 + c], f, c * (MAX_CLASSES >> log), MAX_CLASSES >> log, extra);
    uint32_t log = 0;
    choose_size(f, f->solution, pixels, &log, &b->tap_set);
    b->classes = 1u << log;
    for (uint32_t i = 0; i + 1 < b->classes; i++) b->threshold[i] = f->quarter[b->classes == 2 ? 1 : i];
    int64_t error = 0;
    for (uint32_t c = 0; c < b->classes; c++)
        error += left_over(&f->solution[b->classes - 1 + c], f->n_lanes, (int32_t)f->end[b->tap_set]);
    error = shifted(error, f->target_log - 30);
    choose_units(f, b, error, pixels >> log);
    for (uint32_t c = 0; c < b->classes; c++) keep_weights(f, b, &f->solution[b->classes - 1 + c], c);
    int64_t variance = (shifted(error, 2 * (int32_t)(f->shift + b->shift) + 8) << 16) / (f->weight + 1);
    while (b->scale < 15 && variance >> (2 * b->scale + 2)) b->scale++;
}
