/* The encoder's choices: ranges, grids, order, references, and weights by least squares.
 *
 * Nothing here is part of the format; it is in integers all the same, so that a tile has the same payload everywhere.
 */
#include "plan.h"

uint64_t isqrt64(uint64_t v)
{
    uint64_t root = 0;
    for (uint64_t bit = (uint64_t)1 << 31; bit; bit >>= 1)
        if ((root + bit) * (root + bit) <= v) root += bit;
    return root;
}

static int32_t common_divisor(int32_t a, int32_t b)
{
    while (b) {
        int32_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* Least value, greatest code and common divisor over the valid pixels. */
void find_range(band_t *b, const int32_t *s, const uint8_t *valid, int32_t n)
{
    int32_t low = INT32_MAX, high = INT32_MIN, divisor = 0;
    for (int32_t i = 0; i < n; i++)
        if (valid[i]) {
            low = min32(low, s[i]);
            high = max32(high, s[i]);
        }
    if (high < low) low = high = 0;
    for (int32_t i = 0; i < n && divisor != 1; i++)
        if (valid[i] && s[i] != low) divisor = common_divisor(s[i] - low, divisor);
    b->low = low;
    b->gcd = divisor ? divisor : 1;
    b->last = (high - low) / b->gcd;
    b->shift = b->last >> 15 ? 1 : 0;
    b->grid = (grid_t){1, 1, 0, 0};
    if (b->last) return;
    b->n_refs = b->tap_set = b->scale = 0;
    b->classes = 1;
}

/* The difference that says how alike bands are, over two pixels both ways. */
static int32_t detail(const tile_t *t, int32_t b, int32_t y, int32_t x)
{
    const plane_t *p = &t->plane[b];
    const grid_t *g = &t->band[b].grid;
    const int16_t *here = p->at + (y + g->oy) / g->fy * p->stride, *up = p->at + (y - 2 + g->oy) / g->fy * p->stride;
    int32_t column = (x + g->ox) / g->fx;
    return 2 * here[column] - here[(x - 2 + g->ox) / g->fx] - up[column];
}

/* Correlations of the bands' details in 1/2^15, over about DETAIL_SAMPLES pixels. */
static void correlate(const tile_t *t, int32_t r[MAX_BANDS][MAX_BANDS])
{
    int64_t sum[MAX_BANDS][MAX_BANDS] = {{0}};
    int32_t d[MAX_BANDS] = {0}, n = t->n_bands, count = t->height * t->width;
    for (int32_t i = 0; i < count; i += max32(1, count / DETAIL_SAMPLES) | 1) {
        int32_t y = i / t->width, x = i % t->width;
        if (y < 2 || x < 2 || !t->valid[i]) continue;
        for (int32_t b = 0; b < n; b++)
            if (t->band[b].last) d[b] = detail(t, b, y, x);
        for (int32_t b = 0; b < n; b++)
            for (int32_t a = 0; a <= b; a++) sum[b][a] += (int64_t)d[b] * d[a];
    }
    for (int32_t b = 0; b < n; b++)
        for (int32_t a = 0; a <= b; a++) {
            int64_t norm = (int64_t)isqrt64((uint64_t)sum[b][b]) * (int64_t)isqrt64((uint64_t)sum[a][a]);
            r[b][a] = r[a][b] = norm ? (int32_t)(sum[b][a] * UNIT / norm) : 0;
        }
}

/* Finer grids first; then the band most like the others, then always the one most like any that came before. */
static void choose_order(tile_t *t, int32_t r[MAX_BANDS][MAX_BANDS])
{
    int taken[MAX_BANDS] = {0};
    for (int32_t i = 0; i < t->n_bands; i++) {
        int32_t best = -1, best_area = 0;
        int64_t best_score = 0;
        for (int32_t b = 0; b < t->n_bands; b++) {
            if (taken[b]) continue;
            int64_t score = 0;
            int32_t area = t->band[b].last ? t->band[b].grid.fy * t->band[b].grid.fx : INT32_MAX;
            for (int32_t a = 0; a < t->n_bands; a++) {
                int64_t squared = (int64_t)r[a][b] * r[a][b];
                if (i == 0) score += squared;
                else if (taken[a] && squared > score) score = squared;
            }
            if (best >= 0 && (area > best_area || (area == best_area && score <= best_score))) continue;
            best = b;
            best_area = area;
            best_score = score;
        }
        taken[best] = 1;
        t->order[i] = best;
    }
}

/* References of the i-th band: each the one that explains most of what the ones before leave. */
static void choose_references(tile_t *t, int32_t i, int32_t correlation[MAX_BANDS][MAX_BANDS])
{
    int32_t r[MAX_BANDS][MAX_BANDS], target = t->order[i];
    band_t *b = &t->band[target];
    memcpy(r, correlation, sizeof r);
    for (b->n_refs = 0; b->n_refs < MAX_REFS; b->n_refs++) {
        int32_t best = -1, most = r[target][target] / LEAST_GAIN;
        for (int32_t k = 0; k < i; k++) {
            int32_t a = t->order[k], own = r[a][a];
            if (!t->band[a].last || own < UNIT / LEAST_OWN) continue;
            int32_t gain = (int32_t)((int64_t)r[target][a] * r[target][a] / own);
            if (gain > most) {
                best = a;
                most = gain;
            }
        }
        if (best < 0) return;
        b->refs[b->n_refs] = (uint32_t)best;
        int32_t column[MAX_BANDS], own = r[best][best];
        for (int32_t k = 0; k < t->n_bands; k++) column[k] = r[k][best];
        for (int32_t k = 0; k < t->n_bands; k++)
            for (int32_t l = 0; l < t->n_bands; l++)
                r[k][l] -= (int32_t)((int64_t)column[k] * column[l] / own);
    }
}

void choose_structure(tile_t *t)
{
    int32_t r[MAX_BANDS][MAX_BANDS];
    correlate(t, r);
    choose_order(t, r);
    for (int32_t i = 0; i < t->n_bands; i++)
        if (t->band[t->order[i]].last) choose_references(t, i, r);
}
