/* The encoder's weights: least squares over the tile, per class of activity, in fixed point.
 *
 * samples.c sums over the pixels, here those sums are solved.
 */
#include "plan.h"

/* Lanes of all taps by the first set that has them; ends[i]: how many those of set i are. */
static uint32_t list_lanes(uint32_t n_refs, uint8_t *lanes, uint32_t *ends)
{
    uint32_t n = 0;
    for (uint32_t set = 0; set < TAP_SETS; set++) {
        for (uint32_t group = 0; group <= n_refs; group++) {
            const uint32_t *masks = group ? REF_SET : OWN_SET;
            uint32_t fresh = masks[set] & ~(set ? masks[set - 1] : 0);
            for (uint32_t bit = 0; fresh >> bit; bit++)
                if (fresh >> bit & 1) lanes[n++] = (uint8_t)lane_of(group, bit);
        }
        ends[set] = n;
    }
    return n;
}

/* What quantisation adds to the squares of the taps: they will be read from decoded samples. */
static int64_t noise(const fit_t *f, const band_t *b, int32_t max_error)
{
    int64_t step = step_of(b, max_error) >> b->shift;
    return step > 1 ? (16 * step * step / 12 * (f->weight >> 8) >> 12) >> (2 * f->shift) : 0;
}

/* That noise in a product of two taps, or a tap and the target (tap n_lanes): the pixel above, from which own taps and
 * target are taken, has it too, and so has the mean of a reference, less. */
static int64_t shared_noise(const fit_t *f, int32_t i, int32_t j)
{
    uint32_t group = i < f->n_lanes ? group_of(f->lane[i]) : 0, other = j < f->n_lanes ? group_of(f->lane[j]) : 0;
    if (group != other) return 0;
    int64_t own = i == j && i < f->n_lanes ? f->noise[group] : 0;
    return own + (group ? f->noise[group] * 5 / 16 : f->noise[0]);
}

/* Products of `count` classes, from one on. */
static void merge(const fit_t *f, uint32_t from, uint32_t count, int64_t a[FIT_SIZE][FIT_SIZE])
{
    int64_t noisy = 0;
    for (uint32_t g = 0; g < GROUPS; g++) noisy |= f->noise[g];
    for (int32_t i = 0; i <= f->n_lanes; i++) {
        for (int32_t j = 0; j <= i; j++) a[i][j] = noisy ? shared_noise(f, i, j) * count / MAX_CLASSES : 0;
        for (uint32_t c = from; c < from + count; c++)
            for (int32_t j = 0; j <= i; j++) a[i][j] += f->product[c][i][j];
    }
}

static int32_t even_log(int64_t v) /* least even e with v < 2^e */
{
    int32_t e = 0;
    while (v >> e) e += 2;
    return e;
}

static int64_t shifted(int64_t v, int32_t left) { return left >= 0 ? v * ((int64_t)1 << left) : v >> -left; }

/* a (lower half) into L and pivots: scaled to 2^30, a ridge added, then LDL' in fixed point. Column by column: what a
 * column needs of those before it is there, so that its divisions do not wait for each other. */
static void factorise(solution_t *s, int64_t a[FIT_SIZE][FIT_SIZE], int32_t n, int32_t target_log)
{
    for (int32_t i = 0; i <= n; i++) s->log[i] = i < n ? even_log(a[i][i]) : target_log;
    for (int32_t j = 0; j <= n; j++)
        for (int32_t i = j; i <= n; i++) {
            int64_t m = shifted(a[i][j], 30 - (s->log[i] + s->log[j]) / 2);
            if (i == j && i < n) m += (m >> RIDGE) + LEAST_PIVOT;
            for (int32_t k = 0; k < j; k++) m -= (s->ratio[i][k] * s->pivoted[j][k]) >> RATIO_BITS;
            if (i == j && i < n && m < LEAST_PIVOT) m = LEAST_PIVOT;
            s->pivoted[i][j] = m;
            if (i == j) continue;
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

static void solve(solution_t *s, const fit_t *f, uint32_t from, uint32_t count)
{
    int64_t a[FIT_SIZE][FIT_SIZE];
    merge(f, from, count, a);
    factorise(s, a, f->n_lanes, f->target_log);
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
        int64_t v = shifted(w[i], WEIGHT_BITS - RATIO_BITS + (s->log[lanes] - s->log[i]) / 2), most = 1 << 30;
        out[i] = (int32_t)(v < -most ? -most : v > most ? most : v);
    }
}

/* Number of classes (as a power of two) and tap set with the least bits, those of the weights included; `floor`: the
 * squared error that costs nothing, because it is quantised away. simple: one class and the first sets alone.
 */
static void choose_size(const fit_t *f, int simple, int64_t pixels, int64_t floor, uint32_t *log_classes, uint32_t *set)
{
    const solution_t *s = f->solution;
    int64_t best = INT64_MAX;
    for (uint32_t log = 0; log <= (simple ? 0 : 2); log++)
        for (uint32_t i = 0; i < (simple ? SIMPLE_SETS : TAP_SETS); i++) {
            int64_t e = 0, n = (int64_t)f->end[i] << log;
            for (uint32_t c = 0; c < 1u << log; c++)
                e += left_over(&s[(1u << log) - 1 + c], f->n_lanes, (int32_t)f->end[i]);
            int64_t bits = pixels * log2_256((uint64_t)(e + floor)) / 2 + n * WEIGHT_COST * 256;
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
            uint32_t group = group_of(f->lane[k]);
            if (group != g) continue;
            for (uint32_t c = 0; c < MAX_CLASSES; c++) sum += f->product[c][k][k];
            count++;
        }
        int64_t mean = count ? sum / count + 1 : 1;
        int64_t share = error * 12 / mean + 1;
        int64_t squared = (share < MOST_SHARE ? share : MOST_SHARE) * ((int64_t)1 << (2 * b->weight_bits)) / pixels;
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

/* As many bits as leave every weight and every class's sum within the limits. */
static void choose_weight_bits(const fit_t *f, band_t *b, int32_t w[MAX_CLASSES][FIT_SIZE])
{
    int64_t most = 0, greatest = 0;
    for (uint32_t c = 0; c < b->classes; c++) {
        int64_t sum = 0;
        for (uint32_t k = 0; k < f->end[b->tap_set]; k++) {
            int64_t v = w[c][k] < 0 ? -(int64_t)w[c][k] : w[c][k];
            sum += v;
            greatest = v > greatest ? v : greatest;
        }
        most = sum > most ? sum : most;
    }
    b->weight_bits = WEIGHT_BITS;
    for (; b->weight_bits > LEAST_WEIGHT_BITS; b->weight_bits--) {
        uint32_t drop = WEIGHT_BITS - b->weight_bits;
        if (most >> drop <= SAFE_SUM && greatest >> drop <= SAFE_WEIGHT) break;
    }
}

/* Into the plan; a class whose weights are beyond the limits even so keeps none. */
static void keep_weights(const fit_t *f, band_t *b, const int32_t *w, uint32_t class)
{
    int32_t kept[FIT_SIZE], sum = 0, n = (int32_t)f->end[b->tap_set];
    for (int32_t k = 0; k < n; k++) {
        int32_t v = (int32_t)shifted(w[k], (int32_t)b->weight_bits - WEIGHT_BITS);
        v = v < -SAFE_WEIGHT ? -SAFE_WEIGHT : v > SAFE_WEIGHT ? SAFE_WEIGHT : v;
        kept[k] = rounded(v, b->exponent[group_of(f->lane[k])]);
        if (kept[k] > 32767 || kept[k] < -32767) kept[k] = 0;
        sum += kept[k] < 0 ? -kept[k] : kept[k];
    }
    for (int32_t k = 0; k < n; k++) b->weight[class][f->lane[k]] = (int16_t)(sum <= WEIGHT_LIMIT ? kept[k] : 0);
}

/* Sums of products over the tile, with what quantisation adds to them, and all solutions. */
static void solve_all(fit_t *f, const tile_t *t, int32_t band, const int32_t *max_error)
{
    const band_t *b = &t->band[band];
    f->n_lanes = (int32_t)list_lanes(b->n_refs, f->lane, f->end);
    f->lane[f->n_lanes] = WEIGHTS; /* the target */
    accumulate(f, t, band);
    memset(f->noise, 0, sizeof f->noise);
    f->noise[0] = noise(f, b, max_error[band]);
    for (uint32_t k = 0; k < b->n_refs; k++)
        f->noise[k + 1] = noise(f, &t->band[b->refs[k]], max_error[b->refs[k]]);
    int64_t target = f->noise[0];
    for (uint32_t c = 0; c < MAX_CLASSES; c++) target += f->product[c][f->n_lanes][f->n_lanes];
    f->target_log = even_log(target);
    for (uint32_t log = 0; log <= 2; log++)
        for (uint32_t c = 0; c < 1u << log; c++)
            solve(&f->solution[(1u << log) - 1 + c], f, c * (MAX_CLASSES >> log), MAX_CLASSES >> log);
}

/* ilog2 of the mean error in 1/16 of a code, at most 15. */
static uint32_t error_scale(const fit_t *f, const band_t *b, int64_t error)
{
    int64_t variance = error * 1024 / ((f->weight >> 14) + 1);
    variance = (variance < MOST_VARIANCE ? variance : MOST_VARIANCE) << (2 * (f->shift + b->shift));
    uint32_t scale = 0;
    while (scale < 15 && variance >> (2 * scale + 2)) scale++;
    return scale;
}

void choose_predictor(fit_t *f, tile_t *t, int32_t band, const int32_t *max_error)
{
    band_t *b = &t->band[band];
    memset(b->weight, 0, sizeof b->weight);
    memset(b->exponent, 0, sizeof b->exponent);
    b->tap_set = b->scale = 0;
    b->classes = 1;
    b->weight_bits = WEIGHT_BITS;
    if (t->plane[band].height < 3 || survey(f, t, band) < LEAST_SAMPLES) {
        b->n_refs = b->phased = 0;
        return;
    }
    solve_all(f, t, band, max_error);
    uint32_t log = 0;
    int64_t error = 0, pixels = (int64_t)f->n * (t->plane[band].height - 2) * t->plane[band].width / f->looks;
    choose_size(f, t->simple, pixels, f->n + shifted(f->noise[0], 30 - f->target_log), &log, &b->tap_set);
    b->classes = 1u << log;
    if (b->classes == 1) b->phased = 0;
    for (uint32_t i = 0; i + 1 < b->classes && !b->phased; i++) b->threshold[i] = f->quarter[b->classes == 2 ? 1 : i];
    int32_t w[MAX_CLASSES][FIT_SIZE], n = (int32_t)f->end[b->tap_set];
    for (uint32_t c = 0; c < b->classes; c++) {
        error += left_over(&f->solution[b->classes - 1 + c], f->n_lanes, n);
        back_substitute(&f->solution[b->classes - 1 + c], f->n_lanes, n, w[c]);
    }
    error = shifted(error, f->target_log - 30);
    choose_weight_bits(f, b, w);
    choose_units(f, b, error, pixels >> log);
    for (uint32_t c = 0; c < b->classes; c++) keep_weights(f, b, w[c], c);
    b->scale = error_scale(f, b, error);
}
