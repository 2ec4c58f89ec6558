/* Embedded bit-plane coding of subbands: planes, segments of a plane, and what Python calls. See bitplane.h. */
#include "decisions.h"

#define CELL_FLAG 0x80000000u
#define SPLIT(entry, y, x) uint32_t y = (entry) >> 12 & 0xFFF, x = (entry) & 0xFFF
#define SEGMENT_IN(entry) ((entry) >> 24 & 0xF)

/* Which subbands a plane is the first to find something in. */
static void start_subbands(coder_t *c)
{
    for (uint32_t i = 0; i < c->n_bands; i++) {
        const subband_t *b = c->bands + i;
        if (c->started[i]) continue;
        prob_t *s = c->states + AT_START + (b->parent != NONE && c->started[b->parent])
                  + 2 * (b->first != NONE && c->started[b->first]) + 4 * (b->sibling != NONE && c->started[b->sibling]);
        uint32_t p = s->p < 512 ? 512 : s->p > 65024 ? 65024 : s->p;
        int bit = rc_bit(&c->rc, c->rc.decoding ? 0 : subband_holds(c, b), p);
        if (!c->rc.settled) return;
        prob_update(c->tables, s, bit, 30);
        c->started[i] = (uint8_t)bit;
    }
}

/* Segments by the class of what is expected. Measured gains per bit, in squared thresholds: significance 0.25 to 0.75, rising
 * with the class; refinement 0.25 whatever is expected; cells 0.14 to 0.5. */
static const uint8_t SEGMENT_OF[ALL_CLASSES] = {NEAR, NEAR, NEAR, WEAK, WEAK, WEAK, WEAK, FAIR, FAIR, FAIR, GOOD, GOOD,
                                                LIKELY, LIKELY, LIKELY, STRONG, STRONG, STRONG, STRONG, STRONG, STRONG,
                                                STRONG, STRONG, STRONG};
static const uint8_t CELL_SEGMENT_OF[ALL_CLASSES] = {FAR, FAR, FAR, NEAR, NEAR, NEAR, NEAR, NEAR, WEAK, WEAK, FAIR, FAIR,
                                                     FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR, FAIR};

static inline uint32_t segment_of(const coder_t *c, const view_t *view, uint32_t y, uint32_t x)
{
    if (view->known[y * view->stride + x]) return REFINE;
    return SEGMENT_OF[fine_class(look_around(view, y, x).all >> (c->plane + 1))];
}

/* Where an entry of a segment is listed: a trellis runs through plane 0 in one go. */
static inline uint32_t list_of(const coder_t *c, uint32_t segment) { return turning(c) ? 0 : segment; }

/* Puts down the segment of every entry of a subband in scanning order and counts them; returns where the notes end. */
static uint8_t *classify_subband(const coder_t *c, const subband_t *b, uint8_t *note, uint32_t *count)
{
    const view_t view = view_of(c, b);
    for (uint32_t cy = 0; cy * CELL < b->height; cy++)
        for (uint32_t cx = 0; cx * CELL < b->width; cx++) {
            if (!c->cell[b->cell_offset + cy * b->cell_stride + cx]) {
                if (!open_places(c, b, cy, cx)) continue;
                *note = CELL_SEGMENT_OF[fine_class(cell_surroundings(c, b, cy, cx) >> (c->plane + 1))];
                count[list_of(c, *note++)]++;
                continue;
            }
            for (uint32_t y = cy * CELL; y < (cy + 1) * CELL && y < b->height; y++)
                for (uint32_t x = cx * CELL; x < (cx + 1) * CELL && x < b->width; x++) {
                    if (hole(c, b->offset + y * b->stride + x)) continue;
                    *note = (uint8_t)segment_of(c, &view, y, x);
                    count[list_of(c, *note++)]++;
                }
        }
    return note;
}

/* Lists the entries of a subband in their segments; returns where its notes end. */
static const uint8_t *list_subband(coder_t *c, const subband_t *b, const uint8_t *note, uint32_t *next)
{
    for (uint32_t cy = 0; cy * CELL < b->height; cy++)
        for (uint32_t cx = 0; cx * CELL < b->width; cx++) {
            if (!c->cell[b->cell_offset + cy * b->cell_stride + cx]) {
                if (!open_places(c, b, cy, cx)) continue;
                c->list[next[list_of(c, *note)]++] = CELL_FLAG | (uint32_t)*note << 24 | cy << 12 | cx;
                note++;
                continue;
            }
            for (uint32_t y = cy * CELL; y < (cy + 1) * CELL && y < b->height; y++)
                for (uint32_t x = cx * CELL; x < (cx + 1) * CELL && x < b->width; x++) {
                    if (hole(c, b->offset + y * b->stride + x)) continue;
                    c->list[next[list_of(c, *note)]++] = (uint32_t)*note << 24 | y << 12 | x;
                    note++;
                }
        }
    return note;
}

static void sort_plane(coder_t *c)
{
    uint32_t next[SEGMENTS] = {0}, start = 0;
    uint8_t *end = c->notes;
    const uint8_t *note = c->notes;
    for (uint32_t i = 0; i < c->n_bands; i++)
        if (c->started[i]) end = classify_subband(c, c->bands + i, end, next);
    for (int s = 0; s < SEGMENTS; s++) {
        uint32_t size = next[s];
        next[s] = start;
        start += size;
    }
    for (uint32_t i = 0; i < c->n_bands; i++) {
        for (int s = 0; s < SEGMENTS; s++) c->spans[i][s].begin = next[s];
        if (c->started[i]) note = list_subband(c, c->bands + i, note, next);
        for (int s = 0; s < SEGMENTS; s++) c->spans[i][s].end = next[s];
    }
}

static void code_segment(coder_t *c, uint32_t listed)
{
    c->segment = listed;
    for (uint32_t i = 0; i < c->n_bands; i++) {
        const view_t view = view_of(c, c->bands + i);
        c->state = 0;
        for (uint32_t n = c->spans[i][listed].begin; n < c->spans[i][listed].end; n++) {
            uint32_t segment = SEGMENT_IN(c->list[n]);
            SPLIT(c->list[n], y, x);
            if (c->list[n] & CELL_FLAG) code_cell(c, &view, y, x);
            else if (segment == REFINE) code_refinement(c, &view, y, x);
            else code_significance(c, &view, y, x, segment);
            if (!c->rc.settled) return;
            c->done = n + 1;
            count(c);
            if (c->stop) return;
        }
    }
}

static void code_planes(coder_t *c, int planes)
{
    c->segment = SEGMENTS;
    for (c->plane = planes - 1; c->plane >= 0; c->plane--) {
        start_subbands(c);
        if (ended(c)) {
            c->plane++;
            return;
        }
        sort_plane(c);
        if (turning(c)) memset(c->turns, 0, c->n_values);
        c->segment = c->done = 0;
        for (uint32_t s = 0; s < SEGMENTS; s++) {
            code_segment(c, s);
            if (ended(c)) return;
        }
        c->segment = SEGMENTS;
    }
    c->plane = 0;
    if (c->rc.decoding) c->marked = c->n_targets + 1; /* nothing is left: every layer is whole */
}

/* ------------------------------------------------------------------ what Python calls */

API void sp_bitplane_constants(uint32_t *out)
{
    out[0] = N_STATES; out[1] = N_SETS * MAX_INPUTS; out[2] = sizeof(model_tables_t);
    out[3] = AT_TURN_ALL; out[4] = SET_TURN_SIGNIFICANCE * MAX_INPUTS;
    out[5] = AT_DATE_ALL; out[6] = SET_DATE * MAX_INPUTS;
}

API void sp_bitplane_tables(model_tables_t *t) { model_tables(t); }

static size_t aligned(size_t n) { return (n + 15) & ~(size_t)15; }

/* Bytes of working memory for a layout; with_date: where an earlier date is known. */
API size_t sp_bitplane_workspace(uint32_t n_values, uint32_t n_cells, uint32_t n_bands, int with_date)
{
    return aligned(sizeof(coder_t)) + 2 * aligned(4 * (size_t)n_values) + aligned(n_values) + aligned(n_cells)
         + aligned(n_bands) + aligned(sizeof(span_t) * SEGMENTS * n_bands) + aligned(sizeof(prob_t) * N_STATES)
         + aligned(sizeof(int32_t) * N_SETS * MAX_INPUTS)
         + (with_date ? aligned(4 * (size_t)n_values) + aligned(4 * (size_t)n_cells) : 0);
}

static void *part(uint8_t **at, size_t size)
{
    void *here = *at;
    *at += aligned(size);
    return here;
}

/* Subbands of a layout with its buffers, and the model that coding starts from. trellis: 1 where values are its indices. */
typedef struct {
    uint32_t n_values, n_cells, n_bands, planes, trellis;
    const subband_t *bands;
    const model_tables_t *tables;
    const prob_t *states;
    const int32_t *weights;
    const uint8_t *holes; /* n_values, or NULL */
    const int32_t *date; /* n_values, at most 2^24, or NULL */
    const uint8_t *predicted; /* n_values where there is a date */
    uint8_t *workspace;
} job_t;

/* What an earlier date's values come to around every value of a subband and in every cell: weights of 16, 8 and 4 in 1/64; half the
 * sum, and twice the largest. */
static void sum_date(coder_t *c, const subband_t *b)
{
    for (uint32_t y = 0; y < b->height; y++)
        for (uint32_t x = 0; x < b->width; x++) {
            uint32_t at = b->offset + y * b->stride + x, s = b->stride;
            const int32_t *d = c->date + at;
            const int32_t *above = d - s, *below = d + s;
            c->date_near[at] = 16 * magnitude(d[0])
                + 8 * (magnitude(d[-1]) + magnitude(d[1]) + magnitude(above[0]) + magnitude(below[0]))
                + 4 * (magnitude(above[-1]) + magnitude(above[1]) + magnitude(below[-1]) + magnitude(below[1]));
        }
    for (uint32_t cy = 0; cy * CELL < b->height; cy++)
        for (uint32_t cx = 0; cx * CELL < b->width; cx++) {
            const int32_t *d = c->date + b->offset + cy * CELL * b->stride + cx * CELL;
            uint32_t sum = 0, most = 0;
            for (uint32_t y = 0; y < CELL; y++, d += b->stride)
                for (uint32_t x = 0; x < CELL; x++) {
                    uint32_t size = magnitude(d[x]);
                    sum += size;
                    most = size > most ? size : most;
                }
            c->date_cell[b->cell_offset + cy * b->cell_stride + cx] = sum / 2 + 2 * most;
        }
}

/* Lays the coder out in the working memory, 16-byte aligned; everything zero but the model, which starts from priors. */
static coder_t *open_coder(const job_t *job)
{
    uint32_t n_values = job->n_values, n_cells = job->n_cells, n_bands = job->n_bands;
    uint8_t *workspace = job->workspace;
    coder_t *c = part(&workspace, sizeof *c);
    memset(c, 0, sizeof *c);
    c->known = part(&workspace, 4 * (size_t)n_values);
    c->list = part(&workspace, 4 * (size_t)n_values);
    c->notes = part(&workspace, n_values);
    c->cell = part(&workspace, n_cells);
    c->started = part(&workspace, n_bands);
    c->spans = part(&workspace, sizeof(span_t) * SEGMENTS * n_bands);
    c->states = part(&workspace, sizeof(prob_t) * N_STATES);
    c->weights = part(&workspace, sizeof(int32_t) * N_SETS * MAX_INPUTS);
    if (job->date != NULL) {
        c->date_near = part(&workspace, 4 * (size_t)n_values);
        c->date_cell = part(&workspace, 4 * (size_t)n_cells);
    }
    memset(c->known, 0, 4 * (size_t)n_values);
    memset(c->cell, 0, n_cells);
    memset(c->started, 0, n_bands);
    memset(c->spans, 0, sizeof(span_t) * SEGMENTS * n_bands);
    memcpy(c->states, job->states, sizeof(prob_t) * N_STATES);
    memcpy(c->weights, job->weights, sizeof(int32_t) * N_SETS * MAX_INPUTS);
    c->bands = job->bands; c->n_bands = n_bands; c->tables = job->tables;
    c->holes = job->holes; c->trellis = job->trellis != 0; c->turns = c->notes; c->n_values = n_values;
    c->date = job->date; c->predicted = job->predicted;
    for (uint32_t i = 0; job->date != NULL && i < n_bands; i++) sum_date(c, c->bands + i);
    return c;
}

/* Codes values, in units of 1 / 2^FRACTION of plane 0's step, until `limit` bytes or all planes are done. sizes and distortion: per target, the bytes that settle
 * everything up to it and the squared error then, in squared units; `last` likewise for the whole stream. */
API int sp_bitplane_encode(const job_t *job, const int32_t *values, uint64_t limit, const uint64_t *targets,
                           uint32_t n_targets, uint8_t *out, size_t capacity, uint64_t *sizes, double *distortion)
{
    if (n_targets > MAX_MARKS || job->planes > MAX_PLANES) return BAD_LAYOUT;
    coder_t *c = open_coder(job);
    c->values = values; c->targets = targets; c->n_targets = n_targets; c->limit = limit;
    c->error = whole_error(c);
    rc_start_encoder(&c->rc, out, capacity);
    code_planes(c, (int)job->planes);
    rc_finish(&c->rc);
    if (c->rc.size > capacity) return TOO_LONG;
    sizes[n_targets] = c->rc.size;
    distortion[n_targets] = c->error;
    for (uint32_t i = 0; i < n_targets; i++) {
        int there = i < c->marked;
        sizes[i] = there ? rc_settled_size(&c->rc, c->marks + i) : c->rc.size;
        distortion[i] = there ? c->distortion[i] : distortion[n_targets];
    }
    return OK;
}

/* What this plane has to code and has not is known a bit less well. */
static void note_pending(const coder_t *c, uint8_t *bits)
{
    for (uint32_t s = c->segment; s < SEGMENTS; s++)
        for (uint32_t i = 0; i < c->n_bands; i++)
            for (uint32_t n = c->spans[i][s].begin; n < c->spans[i][s].end; n++) {
                SPLIT(c->list[n], y, x);
                if (n < c->done) continue;
                uint32_t side = c->list[n] & CELL_FLAG ? CELL : 1, at = place_in(c, i, y * side, x * side);
                for (uint32_t r = 0; r < side; r++, at += c->bands[i].stride)
                    for (uint32_t q = at; q < at + side; q++) /* of the cell that was broken off some are known */
                        if (side == 1 || !c->known[q]) bits[q] = (uint8_t)(c->plane + 1);
            }
}

/* What an index of the trellis stands for, doubled, in its steps: of the first quantiser twice the index, of the second one less;
 * of one whose parity is missing the middle of what both may mean. */
static void draw_indices(coder_t *c, int32_t *values, uint8_t *bits)
{
    for (uint32_t i = 0; i < c->n_values; i++) {
        int32_t twice = values[i], size = twice < 0 ? -twice : twice;
        if (size) size = bits[i] ? 2 * size - 3 : 2 * (size - 1) - (c->turns[i] ? 2 : 0);
        values[i] = twice < 0 ? -size : size;
        bits[i]++;
    }
}

/* Decodes as far as the bytes settle. values: twice the middle of the interval that a value is known to lie in, or 0;
 * bits: log2 of the interval's length. Of a trellis: twice the value, and of what it is known to. layers: targets that were
 * passed, one more at the end. */
API int sp_bitplane_decode(const job_t *job, const uint8_t *in, size_t size, const uint64_t *targets,
                           uint32_t n_targets, int32_t *values, uint8_t *bits, uint32_t *layers)
{
    if (n_targets > MAX_MARKS || job->planes > MAX_PLANES) return BAD_LAYOUT;
    coder_t *c = open_coder(job);
    c->targets = targets; c->n_targets = n_targets;
    rc_start_decoder(&c->rc, in, size);
    code_planes(c, (int)job->planes);
    memset(bits, c->plane, job->n_values);
    if (c->segment < SEGMENTS) note_pending(c, bits);
    memcpy(values, c->known, sizeof *values * job->n_values);
    if (c->trellis) draw_indices(c, values, bits);
    *layers = c->marked;
    return OK;
}

/* What the model had become when a job in this working memory ended; for training. */
API void sp_bitplane_learned(const uint8_t *workspace, prob_t *states, int32_t *weights)
{
    const coder_t *c = (const coder_t *)workspace;
    memcpy(states, c->states, sizeof(prob_t) * N_STATES);
    memcpy(weights, c->weights, sizeof(int32_t) * N_SETS * MAX_INPUTS);
}
