/* What the weights are fitted to: some pixels of a band, and sums of products of their taps and the pixels themselves.
 *
 * Quiet pixels count more (weight ~ 1/activity): an error costs bits by its size relative to those around it.
 */
#include "products.h"

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
static void flush_products(fit_t *f, int wide, uint32_t class, int32_t filled)
{
    const int32_t n = f->n_lanes + 1, end = (filled + 15) / 16 * 16;
    for (int32_t i = 0; i < n; i++) {
        memset(&f->chunk[i][filled], 0, (size_t)(end - filled) * sizeof(int16_t));
#if defined(WIDE_VECTORS)
        if (wide) {
            add_products_wide(f, class, i, end);
            continue;
        }
#endif
        (void)wide;
        add_products(f, class, i, end);
    }
}

/* Less what they are taken less, scaled down and limited, so that CHUNK products fit 32 bits; scales are at most 256, the
 * shift at least 8. */
static void tame(int16_t *restrict values, const int16_t *restrict below, const int16_t *restrict scale, uint32_t shift,
                 int32_t n)
{
    for (int32_t i = 0; i < n; i++) {
        int16_t v = (int16_t)(((int16_t)(values[i] - below[i]) * scale[i]) >> shift);
        v = v < -2047 ? -2047 : v;
        values[i] = v > 2047 ? 2047 : v;
    }
}

/* Where a chunk's pixels are in a plane, and those below them: themselves in the last row. */
typedef struct { ptrdiff_t at[CHUNK], down[CHUNK]; } places_t;

static void find_places(const plane_t *p, const int32_t *place, int32_t n, places_t *out)
{
    const int32_t last = (p->height - 1) * p->stride;
    for (int32_t i = 0; i < n; i++) {
        out->at[i] = place[i];
        out->down[i] = place[i] + (place[i] < last ? p->stride : 0);
    }
}

static void take_pixels(const int16_t *plane, const ptrdiff_t *at, int32_t n, int16_t *restrict out)
{
    int32_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int32_t k = i; k < i + 4; k++) out[k] = plane[at[k]];
    for (; i < n; i++) out[i] = plane[at[i]];
}

/* One tap of a chunk's pixels, or they themselves (lane WEIGHTS). */
static void take_lane(const plane_t *p, uint32_t lane, const places_t *places, int32_t n, int16_t *out)
{
    const int32_t s = p->stride, bit = (int32_t)(lane - OWN_LANES) % REF_LANES, column = bit & 7;
    if (lane >= LANES) take_pixels(p->at - (lane < WEIGHTS ? (int32_t)lane - LANES + 1 : 0), places->at, n, out);
    else if (lane < OWN_LANES) take_pixels(p->at + (int32_t)(lane & 7) - 3 - (lane < 8 ? s : 2 * s), places->at, n, out);
    else if (bit < 8) take_pixels(p->at + column - 1 - s, places->at, n, out);
    else take_pixels(p->at + column - 1, bit < 16 ? places->at : places->down, n, out);
}

/* What a group's taps are taken less: the pixel above, or the mean of a reference's that would be known. */
static void take_below(const plane_t *p, uint32_t group, const ptrdiff_t *at, int32_t n, int16_t *restrict out)
{
    if (group == 0) {
        take_pixels(p->at - p->stride, at, n, out);
        return;
    }
    for (int32_t i = 0; i < n; i++) {
        const int16_t *here = p->at + at[i], *up = here - p->stride;
        out[i] = (int16_t)((3 * (here[-1] + up[0]) + up[-1] + up[1] + 4) >> 3);
    }
}

/* The taps of up to CHUNK pixels of one class, and their products. */
static void add_chunk(fit_t *f, const tile_t *t, int32_t band, uint32_t class, int32_t from, int32_t n)
{
    int16_t below[GROUPS][CHUNK];
    places_t places;
    const plane_t *planes[GROUPS] = {&t->plane[band]};
    find_places(planes[0], f->sorted + from, n, &places);
    for (uint32_t g = 0; g <= t->band[band].n_refs; g++) {
        if (g) planes[g] = &t->ref[band][g - 1]; /* of the same size */
        take_below(planes[g], g, places.at, n, below[g]);
    }
    for (int32_t k = 0; k <= f->n_lanes; k++) {
        uint32_t group = group_of(f->lane[k]);
        take_lane(planes[group], f->lane[k], &places, n, f->chunk[k]);
        tame(f->chunk[k], below[group], f->weights + from, 8 + f->shift, n);
    }
    flush_products(f, t->wide, class, n);
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
