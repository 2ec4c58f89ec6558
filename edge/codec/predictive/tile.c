/* A tile: memory, the plan, strips of rows as layers. */
#include "plan.h"
#include "rows.h"

int cell_has_valid(const tile_t *t, int32_t band, int32_t y, int32_t x)
{
    const grid_t *g = &t->band[band].grid;
    for (int32_t row = max32(y * g->fy - g->oy, 0); row < min32((y + 1) * g->fy - g->oy, t->height); row++)
        for (int32_t c = max32(x * g->fx - g->ox, 0); c < min32((x + 1) * g->fx - g->ox, t->width); c++)
            if (t->valid[row * t->width + c]) return 1;
    return 0;
}

#define TRIED_LAYERS 2  /* that are coded without refined predictions, too */
#define TRIED_HEIGHT 64 /* of tiles of which so few layers say enough */

/* Memory in one piece: work_t, then what `take` gives out. */
typedef struct { uint8_t *at; } arena_t;

static void *take(arena_t *a, size_t bytes)
{
    void *out = a->at;
    a->at += (bytes + 63) / 64 * 64;
    return out;
}

static size_t plane_bytes(int32_t height, int32_t width)
{
    return ((size_t)(height + 2) * (size_t)(width + 2 * PAD) * sizeof(int16_t) + 63) / 64 * 64;
}

static void make_plane(arena_t *a, plane_t *p, int32_t height, int32_t width)
{
    int16_t *memory = take(a, plane_bytes(height, width));
    *p = (plane_t){memory + 2 * (width + 2 * PAD) + PAD, height, width, width + 2 * PAD};
}

static void make_planes(arena_t *a, tile_t *t)
{
    for (int32_t b = 0; b < t->n_bands; b++) {
        const grid_t *g = &t->band[b].grid;
        make_plane(a, &t->plane[b], grid_rows(g, t->height, t->height), (t->width - 1 + g->ox) / g->fx + 1);
        for (int32_t x = 0; x < t->width; x++) t->column[b][x] = (uint8_t)((x + g->ox) / g->fx);
    }
}

static void make_refs(arena_t *a, tile_t *t)
{
    for (int32_t b = 0; b < t->n_bands; b++)
        for (uint32_t k = 0; k < t->band[b].n_refs; k++)
            make_plane(a, &t->ref[b][k], t->plane[b].height, t->plane[b].width);
}

static size_t error_bytes(int32_t width) { return ((size_t)(width + 2 * ERROR_PAD) * sizeof(uint16_t) + 63) / 64 * 64; }

static size_t map_bytes(void)
{
    return (MAP_LIMIT + 64) * (sizeof(bit_t) + sizeof(uint32_t) + sizeof(uint16_t) + sizeof(uint8_t));
}

static void make_maps(arena_t *a, tile_t *t)
{
    for (int32_t b = 0; b < t->n_bands; b++) {
        uint8_t *memory = take(a, map_bytes());
        t->band[b].often = (bit_t *)(void *)memory;
        memory += (MAP_LIMIT + 64) * sizeof(bit_t);
        t->band[b].rank16 = (uint32_t *)(void *)memory;
        t->band[b].code_of = (uint16_t *)(void *)(memory + (MAP_LIMIT + 64) * sizeof(uint32_t));
        t->band[b].used = memory + (MAP_LIMIT + 64) * (sizeof(uint32_t) + sizeof(uint16_t));
    }
}

static void make_cells(arena_t *a, tile_t *t)
{
    for (int32_t b = 0; b < t->n_bands; b++)
        if (t->band[b].copies) t->cells[b] = take(a, (size_t)t->plane[b].height * (size_t)t->plane[b].width);
}

static void make_models(arena_t *a, work_t *w)
{
    for (int32_t b = 0; b < w->tile.n_bands; b++) {
        model_t *m = &w->model[b];
        const size_t width = (size_t)w->tile.plane[b].width;
        m->heights = take(a, width);
        m->given = take(a, width * sizeof(int32_t));
        m->coded = take(a, width * sizeof(int32_t));
        m->wide = (uint32_t *)take(a, (width + 2 * WIDE) * sizeof(uint32_t)) + WIDE;
        m->spread = (uint32_t *)take(a, (width + 2 * WIDE) * sizeof(uint32_t)) + WIDE;
        for (int i = 0; i < 3; i++) {
            m->missed[i] = (int32_t *)take(a, (width + 2 * ERROR_PAD) * sizeof(int32_t)) + ERROR_PAD;
            m->error[i] = (uint16_t *)take(a, error_bytes((int32_t)width)) + ERROR_PAD;
        }
    }
}

static void start_models(work_t *w)
{
    for (int32_t b = 0; b < w->tile.n_bands; b++) {
        model_t *m = &w->model[b];
        const int32_t width = w->tile.plane[b].width;
        for (uint32_t i = 0; i < LEVELS; i++) start_level(&m->level[i], i);
        bits_reset(m->beyond.more, NUMBER_BITS);
        bits_reset(&m->left[0][0][0][0], sizeof m->left / sizeof(bit_t));
        bits_reset(&m->above[0][0][0], sizeof m->above / sizeof(bit_t));
        if (w->tile.band[b].fine) bits_reset(w->tile.band[b].often, MAP_LIMIT + 64);
        memset(m->heights, 0, (size_t)width);
        for (int32_t x = -WIDE; x < width + WIDE; x++) m->wide[x] = m->spread[x] = 8u << w->tile.band[b].scale;
        for (int i = 0; i < 3; i++) {
            memset(m->missed[i] - ERROR_PAD, 0, ((size_t)width + 2 * ERROR_PAD) * sizeof(int32_t));
            for (int32_t x = -ERROR_PAD; x < width + ERROR_PAD; x++)
                m->error[i][x] = (uint16_t)(1u << w->tile.band[b].scale);
        }
        start_plane(&w->tile.plane[b], w->tile.band[b].start);
        sum_weights(m, &w->tile.band[b]);
    }
}

API size_t sp_predictive_memory(int32_t n_bands, int32_t height, int32_t width)
{
    size_t bands = (size_t)n_bands, fit = (sizeof(fit_t) + 63) / 64 * 64;
    return (sizeof(work_t) + 63) / 64 * 64 + fit +
           bands * ((1 + MAX_REFS) * plane_bytes(height, width) + 3 * error_bytes(width) + map_bytes() + 64 +
                    (size_t)height * (size_t)width + 63 +
                    3 * ((size_t)width * sizeof(int32_t) + 63) +
                    3 * (((size_t)width + 2 * ERROR_PAD) * sizeof(int32_t) + 63) +
                    2 * (((size_t)width + 2 * WIDE) * sizeof(uint32_t) + 63));
}

static int bad_shape(int32_t n_bands, int32_t height, int32_t width)
{
    return n_bands < 1 || n_bands > MAX_BANDS || height < 1 || height > MAX_SIDE || width < 1 || width > MAX_SIDE;
}

static int narrow;

/* Has this processor AVX2, and does no test ask to do without? */
static int use_wide(void)
{
#if defined(WIDE_VECTORS)
    return !narrow && __builtin_cpu_supports("avx2");
#else
    return narrow & 0;
#endif
}

/* For tests: only vectors that all processors of a kind have, or none. Whether wider ones are used now. */
API int sp_predictive_narrow(int32_t on)
{
    narrow = on;
    return use_wide();
}

static work_t *start(arena_t *a, void *memory, int32_t n_bands, int32_t height, int32_t width, const uint8_t *valid)
{
    a->at = memory;
    work_t *w = take(a, sizeof *w);
    memset(&w->tile, 0, sizeof w->tile);
    w->tile.wide = use_wide();
    w->sums = &REFINE_SUMS;
#if defined(WIDE_VECTORS)
    if (w->tile.wide) w->sums = &REFINE_SUMS_WIDE;
#endif
    w->tile.n_bands = n_bands;
    w->tile.height = height;
    w->tile.width = width;
    w->tile.valid = valid;
    w->tile.all_valid = !memchr(valid, 0, (size_t)height * (size_t)width);
    make_maps(a, &w->tile);
    return w;
}

/* The samples' codes into a band's plane, for the plan; where nothing is valid, the pixel before. */
static void fill_plane(work_t *w, int32_t band, const int32_t *samples)
{
    band_t *b = &w->tile.band[band];
    plane_t *p = &w->tile.plane[band];
    int64_t total = 0, count = 0;
    start_plane(p, 0);
    for (int32_t y = 0; y < p->height; y++) {
        int16_t *row = p->at + y * p->stride;
        load_validity(w, band, y);
        load_codes(w, band, samples, y);
        start_row(p, y);
        for (int32_t x = 0; x < p->width; x++) {
            row[x] = (int16_t)(w->okay[x] ? w->codes[x] >> b->shift : row[x - 1]);
            total += w->okay[x] ? row[x] : 0;
            count += w->okay[x];
        }
        end_row(p, y);
    }
    b->start = count ? (int32_t)(total / count) : 0;
}

static void make_plan(arena_t *a, work_t *w, const int32_t *samples, const int32_t *max_error)
{
    tile_t *t = &w->tile;
    size_t pixels = (size_t)t->height * (size_t)t->width;
    fit_t *fit = take(a, sizeof *fit);
    for (int32_t b = 0; b < t->n_bands; b++) {
        const int32_t *s = samples + (size_t)b * pixels;
        find_range(&t->band[b], s, t->valid, (int32_t)pixels, max_error[b]);
        if (t->band[b].last) find_grid(&t->band[b].grid, s, t->valid, t->height, t->width);
    }
    make_planes(a, t);
    t->exact = t->all_valid; /* holes are filled otherwise for the plan */
    for (int32_t b = 0; b < t->n_bands; b++) {
        fill_plane(w, b, samples + (size_t)b * pixels);
        t->exact &= step_of(&t->band[b], max_error[b]) == 1;
    }
    choose_structure(t, max_error);
    make_refs(a, t);
    make_cells(a, t);
    for (int32_t b = 0; b < t->n_bands; b++) {
        if (!t->band[b].last) continue;
        build_refs(t, b, 0, t->plane[b].height);
        choose_predictor(fit, t, b, max_error);
        if (step_of(&t->band[b], max_error[b]) == 1) choose_values(fit, t, b);
    }
}

static residual_t residual_of(work_t *w, int32_t band, int32_t max_error)
{
    const band_t *b = &w->tile.band[band];
    int32_t step = step_of(b, max_error);
    uint64_t reciprocal = (((uint64_t)1 << 36) + (uint64_t)step - 1) / (uint64_t)step;
    return (residual_t){&w->model[band], step, b->last_rank >> b->fine, 65536u / (uint32_t)step, reciprocal};
}

/* A row's codes for the encoder: its plane still holds them unless it has too few bits. */
static void take_codes(work_t *w, int32_t band, const int32_t *samples, int32_t y)
{
    const plane_t *p = &w->tile.plane[band];
    if (w->tile.band[band].shift) load_codes(w, band, samples, y);
    else
        for (int32_t x = 0; x < p->width; x++) w->codes[x] = p->at[y * p->stride + x];
}

/* One band's rows of a layer's strip. */
static void code_strip(coder_t *c, work_t *w, int32_t band, int layer, int32_t max_error, const int32_t *in,
                       int32_t *out, uint8_t *since)
{
    tile_t *t = &w->tile;
    int32_t top = t->height * layer / LAYERS, bottom = t->height * (layer + 1) / LAYERS;
    const band_t *b = &t->band[band];
    int32_t from = grid_rows(&b->grid, t->height, top), to = grid_rows(&b->grid, t->height, bottom);
    residual_t r = residual_of(w, band, max_error);
    if (b->last && !t->exact) build_refs(t, band, from, to);
    for (int32_t y = from; y < to && !c->failed; y++) {
        load_validity(w, band, y);
        if (in) take_codes(w, band, in, y);
        int32_t done = t->plane[band].width;
        if (b->last) done = code_row(c, w, &r, band, y, to);
        else memset(w->codes, 0, sizeof w->codes);
        if (out) store_row(w, band, out, since, layer, y, done);
    }
}

static void code_layer(coder_t *c, work_t *w, int layer, const int32_t *max_error, const int32_t *in, int32_t *out,
                       uint8_t *since)
{
    tile_t *t = &w->tile;
    for (int32_t i = 0; i < t->n_bands && !c->failed; i++) {
        int32_t b = t->order[i];
        size_t at = (size_t)b * (size_t)t->height * (size_t)t->width;
        code_strip(c, w, b, layer, max_error[b], in ? in + at : NULL, out ? out + at : NULL, since ? since + at : NULL);
    }
}

/* Bits that an encoder has settled. */
static uint64_t settled(const coder_t *c)
{
    uint64_t bits = 8 * c->at;
    for (uint64_t range = c->range; !(range >> 63); range <<= 1) bits++;
    return bits;
}

/* The first layers of what code_tile codes; what they take, the plan included. */
static uint64_t try_layers(coder_t *c, work_t *w, const int32_t *samples, const int32_t *max_error)
{
    tile_t *t = &w->tile;
    code_plan(c, t);
    start_models(w);
    for (int layer = 0; layer < TRIED_LAYERS && !c->failed; layer++)
        code_layer(c, w, layer, max_error, samples, NULL, NULL);
    for (int32_t b = 0; b < t->n_bands && !t->exact; b++) /* planes hold what was decoded, not the samples */
        fill_plane(w, b, samples + (size_t)b * (size_t)t->height * (size_t)t->width);
    return settled(c);
}

/* A planned tile. tried: NULL, or what its first layers take without and with refined predictions, where it is large. */
static void code_tile(coder_t *c, work_t *w, const int32_t *samples, const int32_t *max_error, int32_t refined,
                      mark_t marks[LAYERS], uint64_t *tried)
{
    const coder_t fresh = *c;
    const int tries = tried && refined && w->tile.height >= TRIED_HEIGHT;
    if (tried) tried[0] = tried[1] = 0;
    if (tries) {
        tried[0] = try_layers(c, w, samples, max_error);
        *c = fresh;
    }
    w->tile.refined = refined;
    code_plan(c, &w->tile);
    start_models(w);
    for (int layer = 0; layer < LAYERS && !c->failed; layer++) {
        code_layer(c, w, layer, max_error, samples, NULL, NULL);
        marks[layer] = (mark_t){c->range, c->lower, c->at};
        if (tries && layer + 1 == TRIED_LAYERS) tried[1] = settled(c);
    }
}

/* Codes a tile: samples (n_bands, height, width) that fit [-32768, 65535], valid (height, width), greatest errors
 * (n_bands), simple: with small predictors alone, refined: see refine.h. sizes[k]: the least prefix of the payload that holds the first k
 * layers. tried: see code_tile. */
API int sp_predictive_encode(const int32_t *samples, const uint8_t *valid, const int32_t *max_error, int32_t simple,
                             int32_t refined, int32_t n_bands, int32_t height, int32_t width, void *memory, uint8_t *out,
                             size_t capacity, uint64_t *sizes, uint64_t *tried)
{
    arena_t a;
    coder_t c;
    mark_t marks[LAYERS];
    if (bad_shape(n_bands, height, width)) return BAD_INPUT;
    work_t *w = start(&a, memory, n_bands, height, width, valid);
    w->tile.simple = simple;
    make_plan(&a, w, samples, max_error);
    make_models(&a, w);
    coder_start_encoding(&c, out, capacity);
    code_tile(&c, w, samples, max_error, refined, marks, tried);
    size_t size = coder_finish(&c);
    if (c.failed || (!size && c.range != UINT64_MAX)) return TOO_LONG;
    sizes[0] = 0;
    for (int layer = 0; layer < LAYERS; layer++) sizes[layer + 1] = coder_prefix(&marks[layer], out, size);
    return OK;
}

/* Decodes what a prefix of a payload wholly holds: samples, and since which layer (1 to 16) each is known, are (n_bands,
 * height, width), both cleared by the caller. CORRUPT for what no encoder writes. */
API int sp_predictive_decode(const uint8_t *payload, size_t size, const uint8_t *valid, const int32_t *max_error,
                             int32_t refined, int32_t n_bands, int32_t height, int32_t width, void *memory, int32_t *samples,
                             uint8_t *since, int32_t *layers)
{
    arena_t a;
    coder_t c;
    *layers = 0;
    if (bad_shape(n_bands, height, width)) return BAD_INPUT;
    work_t *w = start(&a, memory, n_bands, height, width, valid);
    w->tile.refined = refined;
    for (int32_t b = 0; b < n_bands; b++) w->tile.band[b].grid = (grid_t){1, 1, 0, 0};
    coder_start_decoding(&c, payload, size);
    code_plan(&c, &w->tile);
    if (c.failed) return c.failed == ENDED ? OK : c.failed;
    make_planes(&a, &w->tile);
    make_refs(&a, &w->tile);
    make_cells(&a, &w->tile);
    make_models(&a, w);
    start_models(w);
    while (*layers < LAYERS) {
        code_layer(&c, w, *layers, max_error, NULL, samples, since);
        if (c.failed) break;
        ++*layers;
    }
    return c.failed == ENDED ? OK : c.failed;
}
