/* What the weights are fitted to: some pixels of a band, and sums of products of their taps and the pixels themselves.
 *
 * Quiet pixels count more (weight ~ 1/activity): an error costs bits by its size relative to those around it.
 */
#include "plan.h"

/* Which pixels are looked at, with the activity (as of activity8) and the place of each: every looks-th part of rows 2
 * and below, taken without a division for each. Returns the sum of activities. */
static int64_t look(fit_t *f, const tile_t *t, int32_t band, int32_t *histogram)
{
    const plane_t *p = &t->plane[band];
    const int32_t n = (p->height - 2) * p->width, looks = min32(n, min32(FIT_SAMPLES, n / 3 + 1024));
    int32_t y = 2, x = 0, rest = 0;
    int64_t total = 0;
    f->n = 0;
    f->looks = looks;
    for (int32_t k = 0; k < looks; k++) {
        if (counts(t, band, y, x)) {
            uint32_t a = activity(p->at + y * p->stride + x, p->stride), index = activity8(a);
            total += a;
            histogram[index]++;
            f->activity[f->n] = (uint8_t)index;
            f->class[f->n] = (uint8_t)(2 * (y & 1) + (x & 1));
            f->place[f->n++] = y * p->stride + x;
        }
        x += n / looks;
        rest += n % looks;
        x += rest >= looks;
        rest -= rest >= looks ? looks : 0;
        for (; x >= p->width; x -= p->width) y++;
    }
    return total;
}

int32_t survey(fit_t *f, const tile_t *t, int32_t band)
{
    int32_t histogram[ACTIVITIES] = {0}, below = 0, quarter = 0;
    int64_t total = look(f, t, band, histogram);
    if (f->n == 0) return 0;
    uint32_t mean = (uint32_t)(total / f->n), soften = mean / 8 + 1;
    f->shift = ilog2(mean + 1) > 8 ? ilog2(mean + 1) - 8 : 0;
    for (uint32_t a = 0; a < ACTIVITIES; a++) {
        while (quarter < 3 && (int64_t)below * 4 >= (int64_t)(quarter + 1) * f->n) f->quarter[quarter++] = a;
        below += histogram[a];
        if (histogram[a])
            f->scale[a] = (int32_t)isqrt64(((uint64_t)soften << 16) / (activity_from8(a) + soften));
    }
    while (quarter < 3) f->quarter[quarter++] = ACTIVITIES - 1;
    return f->n;
}

/* Adds the products of the pixels in the chunk, `filled` of them, to those of a class. */
static void flush_products(fit_t *f, uint32_t class, int32_t filled)
{
    const int32_t n = f->n_lanes + 1, end = (filled + 15) / 16 * 16;
    for (int32_t i = 0; i < n; i++) {
        const int16_t *a = f->chunk[i];
        memset(&f->chunk[i][filled], 0, (size_t)(end - filled) * sizeof(int16_t));
        for (int32_t j = 0; j <= i; j++) {
            const int16_t *b = f->chunk[j];
            int32_t sum = 0;
            for (int32_t k = 0; k < end; k++) sum += (int32_t)a[k] * b[k];
            f->product[class][i][j] += sum;
        }
    }
}

/* Scaled down and limited, so that CHUNK products fit 32 bits; scales are at most 256, the shift at least 8. */
static void tame(int16_t *restrict values, const int16_t *restrict scale, uint32_t shift, int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        int16_t v = (int16_t)((values[i] * scale[i]) >> shift);
        v = v < -2047 ? -2047 : v;
        values[i] = v > 2047 ? 2047 : v;
    }
}

/* One tap of a chunk's pixels, or their own (lane WEIGHTS), less the pixel above or the mean of the reference. */
static void fill_lane(const plane_t *p, const int16_t *below, uint32_t lane, const int32_t *place, int32_t n,
                      int16_t *restrict out)
{
    const int32_t s = p->stride;
    if (lane >= LANES || lane < OWN_LANES) {
        int32_t off = lane >= WEIGHTS ? 0 : lane >= LANES ? -1 - (int32_t)(lane - LANES)
                    : (int32_t)(lane & 7) - 3 - (lane < 8 ? s : 2 * s);
        const int16_t *at = p->at + off;
        for (int32_t i = 0; i < n; i++) out[i] = (int16_t)(at[place[i]] - below[i]);
        return;
    }
    uint32_t bit = (lane - OWN_LANES) % REF_LANES;
    const int16_t *at = p->at + (int32_t)(bit & 7) - 1;
    const int32_t off = ((int32_t)(bit >> 3) - 1) * s, end = bit < 16 ? INT32_MAX : (p->height - 1) * s; /* none below the last row */
    for (int32_t i = 0; i < n; i++) out[i] = (int16_t)(at[place[i] + (place[i] < end ? off : 0)] - below[i]);
}

/* What a group's taps are taken less: the pixel above, or the mean of a reference's that would be known. */
static void fill_below(const plane_t *p, uint32_t group, const int32_t *place, int32_t n, int16_t *restrict out)
{
    for (int32_t i = 0; i < n; i++) {
        const int16_t *at = p->at + place[i], *up = at - p->stride;
        out[i] = group ? (int16_t)((3 * (at[-1] + up[0]) + up[-1] + up[1] + 4) >> 3) : up[0];
    }
}

/* The taps of up to CHUNK pixels of one class, and their products. */
static void add_chunk(fit_t *f, const tile_t *t, int32_t band, uint32_t class, int32_t from, int32_t n)
{
    int16_t below[GROUPS][CHUNK];
    const int32_t *place = f->sorted + from;
    const plane_t *planes[GROUPS] = {&t->plane[band]};
    for (uint32_t g = 0; g <= t->band[band].n_refs; g++) {
        if (g) planes[g] = &t->ref[band][g - 1];
        fill_below(planes[g], g, place, n, below[g]);
    }
    for (int32_t k = 0; k <= f->n_lanes; k++) {
        uint32_t group = group_of(f->lane[k]);
        fill_lane(planes[group], below[group], f->lane[k], place, n, f->chunk[k]);
        tame(f->chunk[k], f->weights + from, 8 + f->shift, n);
    }
    flush_products(f, class, n);
}

/* The pixels by class: by their places in cells, or by the quarters of activity. first[c]: where class c starts. */
static void sort_samples(fit_t *f, int phased, int32_t first[MAX_CLASSES + 1])
{
    uint8_t class_of[ACTIVITIES] = {0};
    int32_t next[MAX_CLASSES];
    for (uint32_t a = 0; a < ACTIVITIES; a++)
        for (int k = 0; k < 3; k++) class_of[a] = (uint8_t)(class_of[a] + (a >= f->quarter[k]));
    memset(first, 0, (MAX_CLASSES + 1) * sizeof *first);
    for (int32_t i = 0; i < f->n && !phased; i++) f->class[i] = class_of[f->activity[i]];
    for (int32_t i = 0; i < f->n; i++) first[f->class[i] + 1]++;
    for (int c = 0; c < MAX_CLASSES; c++) first[c + 1] += first[c];
    memcpy(next, first, sizeof next);
    for (int32_t i = 0; i < f->n; i++) {
        int32_t at = next[f->class[i]]++, scale = f->scale[f->activity[i]];
        f->sorted[at] = f->place[i];
        f->weights[at] = (int16_t)scale;
        f->weight += scale * scale;
    }
}

void accumulate(fit_t *f, const tile_t *t, int32_t band)
{
    int32_t first[MAX_CLASSES + 1];
    memset(f->product, 0, sizeof f->product);
    f->weight = 0;
    sort_samples(f, (int)t->band[band].phased, first);
    for (uint32_t class = 0; class < MAX_CLASSES; class++)
        for (int32_t i = first[class]; i < first[class + 1]; i += CHUNK)
            add_chunk(f, t, band, class, i, min32(CHUNK, first[class + 1] - i));
}
