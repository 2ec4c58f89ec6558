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
static int lines_differ(const int32_t *a, const int32_t *b, const uint8_t *va, const uint8_t *vb, int32_t n,
                        size_t step)
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
    for (int32_t x = -PAD; x < 0; x++) p->at[x] = (int16_t)value;
}

/* What stands left of a row: the first pixel of the row above. */
void start_row(plane_t *p, int32_t y)
{
    int16_t *row = p->at + y * p->stride;
    if (y > 0)
        for (int32_t x = -PAD; x < 0; x++) row[x] = row[-p->stride];
}

/* What stands right of a row: its last pixel. The first row stands above itself, too. */
void end_row(plane_t *p, int32_t y)
{
    int16_t *row = p->at + y * p->stride;
    for (int32_t x = 0; x < PAD; x++) row[p->width + x] = row[p->width - 1];
    for (int32_t k = 1; k <= 2 && y == 0; k++)
        memcpy(row - k * p->stride - PAD, row - PAD, (size_t)(p->width + 2 * PAD) * sizeof *row);
}

int same_grid(const grid_t *a, const grid_t *b)
{
    return a->fy == b->fy && a->fx == b->fx && a->oy == b->oy && a->ox == b->ox;
}

/* Means of band `from` over the pixels of each cell of row y of band `to`. */
static void mean_row(const tile_t *t, int32_t from, int32_t to, plane_t *ref, int32_t y)
{
    const grid_t *g = &t->band[from].grid, *h = &t->band[to].grid;
    const plane_t *plane = &t->plane[from];
    int32_t sum[MAX_SIDE] = {0}, first = max32(y * h->fy - h->oy, 0), last = min32((y + 1) * h->fy - h->oy, t->height);
    for (int32_t row = first; row < last; row++) {
        const int16_t *p = plane->at + (row + g->oy) / g->fy * plane->stride;
        if (g->fx == 1)
            for (int32_t x = 0; x < t->width; x++) sum[x] += p[x];
        else
            for (int32_t x = 0; x < t->width; x++) sum[x] += p[t->column[from][x]];
    }
    int16_t *out = ref->at + y * ref->stride;
    for (int32_t i = 0; i < ref->width; i++) {
        int32_t left = max32(i * h->fx - h->ox, 0), right = min32((i + 1) * h->fx - h->ox, t->width), total = 0;
        int32_t pixels = (right - left) * (last - first);
        for (int32_t x = left; x < right; x++) total += sum[x];
        out[i] = (int16_t)((total + pixels / 2) / pixels);
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
            mean_row(t, (int32_t)band->refs[k], b, ref, y);
            if (y == 0)
                for (int32_t x = -PAD; x < 0; x++) ref->at[x] = ref->at[0];
            start_row(ref, y);
            end_row(ref, y);
        }
    }
}

/* Ranks of the codes that pixels have; between two of them a code's rank lies between theirs. */
void make_ranks(band_t *b)
{
    int32_t n = 0, before = -1;
    for (int32_t code = 0; code <= b->last; code++) {
        if (!b->used[code]) continue;
        int32_t from = before < 0 ? code : before;
        b->code_of[n] = (uint16_t)code;
        b->rank16[code] = 16 * (uint32_t)n;
        for (int32_t i = from + 1; i < code; i++)
            b->rank16[i] = 16 * (uint32_t)(n - 1) + (uint32_t)(16 * (i - from) / (code - from));
        for (int32_t i = 0; before < 0 && i < code; i++) b->rank16[i] = 0;
        before = code;
        n++;
    }
    for (int32_t i = before + 1; i <= b->last + 1; i++) b->rank16[i] = 16 * (uint32_t)(n ? n - 1 : 0);
    b->last_rank = n - 1;
}
