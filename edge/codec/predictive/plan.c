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

/* log2 in 1/256, 0 for 0. */
int32_t log2_256(uint64_t v)
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
void find_range(band_t *b, const int32_t *s, const uint8_t *valid, int32_t n, int32_t max_error)
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
    if (2 * max_error + 1 > b->gcd * step_of(b, max_error)) b->gcd = 1; /* coarser steps without it */
    b->last = (high - low) / b->gcd;
    b->shift = b->last >> 15 ? 1 : 0;
    b->grid = (grid_t){1, 1, 0, 0};
    b->last_rank = b->last;
    b->listed = b->copies = b->fine = b->shared = b->phased = 0;
    b->cells_from = -1;
    if (b->last) return;
    b->n_refs = b->tap_set = b->scale = 0;
    b->weight_bits = WEIGHT_BITS;
    b->classes = 1;
}

/* log2 in 1/256, to about 1/64, quickly; 0 for 0. */
static int32_t rough_log2(uint32_t v)
{
    if (v == 0) return 0;
    int32_t top = (int32_t)ilog2(v), m = (int32_t)(top > 8 ? v >> (top - 8) : v << (8 - top)) & 255;
    return 256 * top + m + (m * (256 - m) * 88 >> 16);
}

/* Which codes pixels of a band have, and how many pixels that are coded by prediction have each. */
static void count_codes(const tile_t *t, int32_t band, uint32_t *count)
{
    const plane_t *p = &t->plane[band];
    const size_t codes = (size_t)t->band[band].last + 1;
    const int all = t->all_valid && !t->band[band].copies;
    uint8_t *used = t->band[band].used;
    memset(count, 0, codes * sizeof *count);
    memset(used, 0, codes);
    for (int32_t y = 0; y < p->height; y++) {
        const int16_t *row = p->at + y * p->stride;
        for (int32_t x = 0; x < p->width && all; x++) count[row[x]]++;
        for (int32_t x = 0; x < p->width && !all; x++) {
            if (!cell_is_valid(t, band, y, x)) continue;
            used[row[x]] = 1;
            count[row[x]] += (uint32_t)counts(t, band, y, x);
        }
    }
    for (size_t i = 0; i < codes && all; i++) used[i] = count[i] != 0;
}

/* Lists the codes that pixels have, in blocks where that saves more than it costs. */
static void choose_list(band_t *b, const uint32_t *count)
{
    for (int32_t start = 0; start <= b->last; start += MAP_BLOCK) {
        int32_t end = min32(start + MAP_BLOCK, b->last + 1), used = 0, all = end - start;
        int64_t pixels = 0;
        for (int32_t i = start; i < end; i++) {
            used += b->used[i];
            pixels += count[i];
        }
        int64_t density = used ? rough_log2((uint32_t)all) - rough_log2((uint32_t)used) : 0;
        int64_t empty = used < all ? rough_log2((uint32_t)all) - rough_log2((uint32_t)(all - used)) : 0;
        int64_t cost = used * density + (all - used) * empty;
        if (pixels * density > cost + cost / 8 + 512) b->listed = 1;
        else memset(b->used + start, 1, (size_t)all);
    }
    if (b->listed) make_ranks(b);
}

static int32_t weighted_log(uint32_t n) { return (int32_t)n * rough_log2(n); } /* n is at most 2^16 */

/* Bits of 256 that coding the lowest bits by how often ranks occur saves: blocks of 2^fine ranks are not even. 2^shared
 * blocks learn together. weighted: weighted_log of every count.
 */
static int64_t gain_of_fine(const band_t *b, const uint32_t *count, const int32_t *weighted, uint32_t fine,
                            uint32_t shared)
{
    int64_t gain = 0;
    const int32_t size = 1 << fine, step = size << shared;
    for (int32_t start = 0; start <= b->last_rank; start += step) {
        uint32_t sum[1 << FINE_LIMIT] = {0}, total = 0;
        int64_t parts = 0;
        const int32_t end = min32(step, b->last_rank + 1 - start);
        for (int32_t i = 0; i < end; i++) total += count[start + i];
        if (total == 0) continue;
        if (shared == 0) {
            for (int32_t i = 0; i < end; i++) parts += weighted[start + i];
        } else {
            for (int32_t i = 0; i < end; i++) sum[i & (size - 1)] += count[start + i];
            for (int32_t i = 0; i < size; i++) parts += weighted_log(sum[i]);
        }
        int32_t log = rough_log2(total);
        gain += (int64_t)total * ((int32_t)fine * 256 - log) + parts - (size - 1) * (log + 256) / 2;
    }
    return gain;
}

/* How many of a rank's lowest bits are worth coding so; errors must be well above them. */
static void choose_fine(band_t *b, uint32_t *count, int32_t *weighted)
{
    int64_t best = 0, pixels = 0;
    if (1 + FINE_BELOW + b->listed > b->scale) return;
    for (int32_t i = 0; i <= b->last; i++) { /* from codes to ranks, in place: a rank is at most its code */
        uint32_t n = count[i];
        pixels += n;
        if (!b->listed) continue;
        count[i] = 0;
        if (b->used[i]) count[b->rank16[i] >> 4] = n;
    }
    for (int32_t i = 0; i <= b->last_rank; i++) weighted[i] = weighted_log(count[i]);
    for (uint32_t fine = 1; fine <= FINE_LIMIT && fine + FINE_BELOW + b->listed <= b->scale; fine++) {
        for (uint32_t shared = 0; shared <= SHARED_LIMIT; shared += 2) {
            int64_t gain = gain_of_fine(b, count, weighted, fine, shared);
            if (gain <= best + pixels * LEAST_FINE) continue;
            best = gain;
            b->fine = fine;
            b->shared = shared;
        }
    }
}

void choose_values(fit_t *f, tile_t *t, int32_t band)
{
    band_t *b = &t->band[band];
    if (b->last >= MAP_LIMIT) return;
    count_codes(t, band, f->count);
    choose_list(b, f->count);
    choose_fine(b, f->count, f->weighted);
}

/* Are pixels in one place of cells of 2 x 2 smoother than in another? Interpolation to twice the size does that. */
static int phased(const tile_t *t, int32_t band)
{
    const plane_t *p = &t->plane[band];
    int64_t across[2] = {1, 1}, down[2] = {1, 1};
    for (int32_t y = 1; y + 1 < p->height; y += 1 + 2 * (p->height / (2 * LOOK_ROWS)))
        for (int32_t x = 1; x + 1 < p->width; x++) {
            const int16_t *at = p->at + y * p->stride + x;
            int32_t h = 2 * at[0] - at[-1] - at[1], v = 2 * at[0] - at[-p->stride] - at[p->stride];
            across[x & 1] += h < 0 ? -h : h;
            down[y & 1] += v < 0 ? -v : v;
        }
    for (int i = 0; i < 2; i++)
        if (across[i] > across[1 - i] * 9 / 8 || down[i] > down[1 - i] * 9 / 8) return 1;
    return 0;
}

/* What is seen of a band's repeated pixels: how many of n are as the one before, as the one above alone, and neither; how
 * many more are as each of the two than chance has it; and log2 of the change from the one before where there is any, in 1/256,
 * on the mean; and that change's mean. */
typedef struct { int64_t n, left, above, neither, beyond[2], log, change; } repeats_t;

/* Saved: the residuals of the pixels that repeat beyond chance, some log2(change / step) + COPY_SAVES bits each, for those that
 * chance makes alike would have cost little. To pay: the entropy of which pixels repeat which. Where most repeat beyond chance and
 * there are other bands, these are likely of the same coarser cells, and one pays for all: then by all that repeat, and only
 * whether they do.
 */
static int worth_copying(const tile_t *t, const band_t *b, const repeats_t *r, int32_t max_error)
{
    const int64_t step = max32(step_of(b, max_error) >> b->shift, 1), all = rough_log2((uint32_t)r->n);
    const int64_t beyond = r->beyond[0] + r->beyond[1] - r->beyond[0] * r->beyond[1] / r->n, repeated = r->left + r->above;
    const int shared = t->n_bands > 1 && 2 * beyond > r->n;
    int64_t bits = r->log + COPY_SAVES - rough_log2((uint32_t)step), entropy = 0;
    if (shared) bits = rough_log2((uint32_t)r->change + 1) + SHARED_COPY_SAVES - rough_log2((uint32_t)step);
    const int64_t parts[3] = {shared ? repeated : r->left, shared ? 0 : r->above, r->neither};
    for (int i = 0; i < 3; i++) entropy += parts[i] * (all - rough_log2((uint32_t)parts[i]));
    return bits > 0 && (shared ? repeated : beyond) * bits > entropy;
}

/* The rest of what is seen of repeated pixels, once n, left and beyond are known. */
static void look_at_changes(const tile_t *t, int32_t band, repeats_t *found)
{
    const plane_t *p = &t->plane[band];
    for (int32_t y = 1; y < p->height; y += 1 + p->height / LOOK_ROWS)
        for (int32_t x = 1; x < p->width; x++) {
            const int16_t *at = p->at + y * p->stride + x;
            const int32_t d = at[0] < at[-1] ? at[-1] - at[0] : at[0] - at[-1];
            if (!cell_is_valid(t, band, y, x)) continue;
            found->above += d != 0 && at[0] == at[-p->stride];
            found->change += d;
            found->log += rough_log2((uint32_t)d);
        }
    found->neither = found->n - found->left - found->above;
    if (found->n == found->left) return;
    found->log /= found->n - found->left;
    found->change /= found->n - found->left;
}

/* Do neighbours have one value more often than chance has it, and is it worth a bit a pixel to say where? By chance, no
 * difference is about as likely as the most likely of the other small ones.
 */
static int repeats(const tile_t *t, int32_t band, int32_t max_error)
{
    const plane_t *p = &t->plane[band];
    int32_t count[2][2 * SMALL + 2] = {{0}}, n = 0; /* the last: of all others */
    repeats_t found = {0};
    for (int32_t y = 1; y < p->height; y += 1 + p->height / LOOK_ROWS)
        for (int32_t x = 1; x < p->width; x++) {
            const int16_t *at = p->at + y * p->stride + x;
            const int32_t d[2] = {at[0] - at[-1], at[0] - at[-p->stride]};
            if (!cell_is_valid(t, band, y, x)) continue;
            for (int i = 0; i < 2; i++) {
                uint32_t place = (uint32_t)(d[i] + SMALL);
                count[i][place > 2 * SMALL ? 2 * SMALL + 1 : place]++;
            }
            n++;
        }
    int more = 0;
    for (int i = 0; i < 2; i++) {
        int32_t same = count[i][SMALL], other = 0;
        for (int k = 0; k <= 2 * SMALL; k++)
            if (k != SMALL) other = max32(other, count[i][k]);
        found.beyond[i] = max32(same - other, 0);
        more |= same > 2 * other && same - other > n / LEAST_REPEATS;
    }
    if (!more) return 0;
    found.n = n;
    found.left = count[0][SMALL];
    look_at_changes(t, band, &found);
    return worth_copying(t, &t->band[band], &found, max_error);
}

/* How many pixels agree in two bands on being as the one before. */
static int64_t agreement(const plane_t *a, const plane_t *b)
{
    int64_t n = 0;
    for (int32_t y = 0; y < a->height; y += 1 + a->height / LOOK_ROWS)
        for (int32_t x = 1; x < a->width; x++) {
            const int16_t *p = a->at + y * a->stride + x, *q = b->at + y * b->stride + x;
            n += (p[0] == p[-1]) == (q[0] == q[-1]);
        }
    return n;
}

static void choose_cells(tile_t *t, int32_t i, const int32_t *max_error)
{
    int32_t band = t->order[i];
    band_t *b = &t->band[band];
    const plane_t *p = &t->plane[band];
    b->copies = (uint32_t)repeats(t, band, max_error[band]);
    b->phased = !b->copies && phased(t, band);
    int64_t rows = (p->height - 1) / (1 + p->height / LOOK_ROWS) + 1, best = rows * p->width * 7 / 8;
    for (int32_t k = 0; k < i && b->copies; k++) {
        int32_t a = t->order[k];
        if (!t->band[a].copies || !same_grid(&t->band[a].grid, &b->grid)) continue;
        int64_t agreed = agreement(p, &t->plane[a]);
        if (agreed <= best) continue;
        best = agreed;
        b->cells_from = a;
    }
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

void choose_structure(tile_t *t, const int32_t *max_error)
{
    int32_t r[MAX_BANDS][MAX_BANDS];
    correlate(t, r);
    choose_order(t, r);
    for (int32_t i = 0; i < t->n_bands; i++)
        if (t->band[t->order[i]].last) {
            choose_references(t, i, r);
            choose_cells(t, i, max_error);
        }
}
