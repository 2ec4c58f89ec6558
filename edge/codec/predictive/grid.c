/* A band's own grid, the planes that prediction reads, and references brought onto another band's grid. */
#include "predictive.h"

static int32_t gcd32(int32_t a, int32_t b)
{
    while (b) {
        int32_t r = a % b;
        a = b;
        b = r;
    }
    return a;
}

/* Do two lines of n pixels, `step` apart each, differ at a pixel that is valid in both? */
static int lines_differ(const int32_t *a, const int32_t *b, const uint8_t *va, const uint8_t *vb, int32_t n, size_t step)
{
    for (int32_t i = 0; i < n; i++, a += step, b += step, va += step, vb += step)
        if (*a != *b && *va && *vb) return 1;
    return 0;
}

/* Cell size and phase along one way: every change between neighbouring lines lies at a cell's border. */
static void find_cells(const int32_t *s, const uint8_t *valid, int32_t lines, int32_t n, size_t line, size_t step,
                       int32_t *size, int32_t *phase)
{
    int32_t first = -1, common = 0;
    for (int32_t i = 1; i < lines && common != 1; i++) {
        const int32_t *at = s + line * (size_t)i;
        const uint8_t *ok = valid + line * (size_t)i;
        if (!lines_differ(at, at - line, ok, ok - line, n, step)) continue;
        if (first < 0) first = i;
        else common = gcd32(i - first, common);
    }
    /* With one border or none any size does that puts no other border inside; lines is such a one. */
    *size = common ? common : lines;
    *phase = first < 0 ? 0 : (*size - first % *size) % *size;
}

/* A cell may hold invalid pixels between valid ones, so a row of cells is checked as a whole. */
static int cells_agree(const grid_t *g, const int32_t *s, const uint8_t *valid, int32_t height, int32_t width)
{
    int32_t seen[MAX_SIDE];
    uint8_t any[MAX_SIDE];
    for (int32_t y = 0; y < height; y++) {
        if (y == 0 || (y + g->oy) % g->fy == 0) memset(any, 0, sizeof any);
        for (int32_t x = 0; x < width; x++) {
            int32_t cell = (x + g->ox) / g->fx, v = s[y * width + x];
            if (!valid[y * width + x]) continue;
            if (any[cell] && seen[cell] != v) return 0;
            any[cell] = 1;
            seen[cell] = v;
        }
    }
    return 1;
}

void find_grid(grid_t *g, const int32_t *s, const uint8_t *valid, int32_t height, int32_t width)
{
    find_cells(s, valid, width, height, 1, (size_t)width, &g->fx, &g->ox);
    find_cells(s, valid, height, width, (size_t)width, 1, &g->fy, &g->oy);
    if (g->fx * g->fy == 1 || cells_agree(g, s, valid, height, width)) return;
    *g = (grid_t){1, 1, 0, 0};
}

int32_t grid_rows(const grid_t *g, int32_t height, int32_t done)
{
    return done >= height ? (height - 1 + g->oy) / g->fy + 1 : (done + g->oy) / g->fy;
}

void start_plane(plane_t *p, int32_t value)
{
    for (int32_t y = -2; y < 0; y++)
        for (int32_t x = -PAD; x < p->width + PAD; x++) p->at[y * p->stride + x] = (int16_t)value;
    for (int32_t x = -PAD; x < 0; x++) p->at[x] = (int16_t)value;
}

/* What stands left of a row: the first pixel of the row above. */
void start_row(plane_t *p, int32_t y)
{
    int16_t *row = p->at + y * p->stride;
    if (y > 0)
        for (int32_t x = -PAD; x < 0; x++) row[x] = row[-p->stride];
}

void end_row(plane_t *p, int32_t y)
{
    int16_t *row = p->at + y * p->stride;
    for (int32_t x = 0; x < PAD; x++) row[p->width + x] = row[p->width - 1];
}

static int same_grid(const grid_t *a, const grid_t *b)
{
    return a->fy == b->fy && a->fx == b->fx && a->oy == b->oy && a->ox == b->ox;
}

/* Means of plane `from` (grid g) over the pixels of each cell of row y of grid h. */
static void mean_row(const plane_t *from, const grid_t *g, plane_t *to, const grid_t *h, int32_t y, int32_t height,
                     int32_t width)
{
    int32_t sum[MAX_SIDE] = {0}, first = max32(y * h->fy - h->oy, 0), last = min32((y + 1) * h->fy - h->oy, height);
    for (int32_t row = first; row < last; row++) {
        const int16_t *p = from->at + (row + g->oy) / g->fy * from->stride;
        for (int32_t x = 0; x < width; x++) sum[(x + h->ox) / h->fx] += p[(x + g->ox) / g->fx];
    }
    int16_t *out = to->at + y * to->stride;
    for (int32_t i = 0; i < to->width; i++) {
        int32_t cells = (min32((i + 1) * h->fx - h->ox, width) - max32(i * h->fx - h->ox, 0)) * (last - first);
        out[i] = (int16_t)((sum[i] + cells / 2) / cells);
    }
}

void build_refs(tile_t *t, int32_t b, int32_t from, int32_t to)
{
    const band_t *band = &t->band[b];
    for (uint32_t k = 0; k < band->n_refs; k++) {
        const band_t *other = &t->band[band->refs[k]];
        plane_t *ref = &t->ref[b][k];
        if (same_grid(&band->grid, &other->grid)) {
            *ref = t->plane[band->refs[k]];
            continue;
        }
        for (int32_t y = from; y < to; y++) {
            mean_row(&t->plane[band->refs[k]], &other->grid, ref, &band->grid, y, t->height, t->width);
            if (y == 0)
                for (int32_t x = -PAD; x < 0; x++) ref->at[x] = ref->at[0];
            start_row(ref, y);
            end_row(ref, y);
        }
    }
}
