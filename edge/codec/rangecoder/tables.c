/* Checked probability tables in the form the coder searches, and the order of coding. */
#include "coder.h"

#ifndef SP_SOURCE_DIGEST
#define SP_SOURCE_DIGEST "unknown"
#endif

/* Which source this library was built from; the loader refuses another one. */
API const char *sp_source_digest(void) { return SP_SOURCE_DIGEST; }

API void sp_tables_free(tables_t *t)
{
    if (!t) return;
    free(t->cum); free(t->start); free(t->half); free(t->shift); free(t->order); free(t->lut);
    free(t->slope); free(t->info);
    free(t);
}

/* One of the arrays of tables, or their frame (part 0), so that the caller can watch its memory; NULL beyond. */
API void *sp_tables_part(tables_t *t, uint32_t part)
{
    void *parts[] = { t, t->cum, t->start, t->half, t->shift, t->order, t->lut, t->slope, t->info };
    return part < sizeof parts / sizeof *parts ? parts[part] : NULL;
}

API size_t sp_tables_frame_size(void) { return sizeof(tables_t); }

static int fill_table(tables_t *t, uint32_t index, const uint32_t *widths)
{
    uint32_t *cum = t->cum + t->start[index], slots = 2u * t->half[index] + 2, i;
    uint16_t *lut = t->lut + (size_t)index * LUT_SIZE;
    uint64_t sum = 0;
    for (i = 0; i < slots; i++) {
        cum[i] = (uint32_t)sum;
        if (widths[i] == 0) return BAD_TABLES;
        sum += widths[i];
        if (sum > TOTAL) return BAD_TABLES;
    }
    if (sum != TOTAL) return BAD_TABLES;
    cum[slots] = TOTAL;
    uint32_t slot = 0;
    for (i = 0; i < LUT_SIZE - 1; i++) {
        while (cum[slot + 1] <= (i << (PRECISION - LUT_BITS))) slot++;
        lut[i] = (uint16_t)slot;
    }
    lut[LUT_SIZE - 1] = (uint16_t)(slots - 1);
    return OK;
}

static int check_layout(const uint16_t *half, const uint8_t *shift, const uint8_t *order, uint32_t n_tables,
                        uint32_t n_scales, size_t n_widths)
{
    size_t need = 0;
    if (n_tables == 0 || n_tables > MAX_TABLES || n_scales == 0 || n_tables % n_scales) return BAD_TABLES;
    for (uint32_t i = 0; i < n_tables; i++) {
        if (half[i] > MAX_HALF || shift[i] > MAX_SHIFT || order[i] > MAX_ORDER) return BAD_TABLES;
        need += 2u * half[i] + 2;
    }
    return need == n_widths ? OK : BAD_TABLES;
}

/* Where table i lies among the scales and fractions. */
static info_t info_of(uint32_t i, uint32_t n_tables, uint32_t n_scales, int32_t expected)
{
    uint32_t scale = i % n_scales, fraction = i / n_scales;
    info_t info = { (uint16_t)scale, (uint8_t)((uint64_t)scale * SCALE_RANGES / n_scales),
                    (uint8_t)((uint64_t)fraction * 8 * n_scales / n_tables), expected };
    return info;
}

static int make_room(tables_t *t, size_t need, uint32_t n_tables)
{
    t->cum = malloc((need + n_tables) * sizeof *t->cum);
    t->start = malloc(n_tables * sizeof *t->start);
    t->half = malloc(n_tables * sizeof *t->half);
    t->shift = malloc(n_tables);
    t->order = malloc(n_tables);
    t->lut = malloc((size_t)n_tables * LUT_SIZE * sizeof *t->lut);
    t->slope = calloc(need + n_tables, sizeof *t->slope);
    t->info = calloc(n_tables, sizeof *t->info);
    return t->cum && t->start && t->half && t->shift && t->order && t->lut && t->slope && t->info ? OK : NO_MEMORY;
}

/* Copies and checks the tables. widths and slope: the tables one after another, n_widths in all. */
API int sp_tables_new(tables_t **out, const uint32_t *widths, size_t n_widths, const uint16_t *half,
                      const uint8_t *shift, const uint8_t *order, uint32_t n_tables, uint32_t n_scales,
                      const int16_t *slope, const int32_t *expected)
{
    *out = NULL;
    if (check_layout(half, shift, order, n_tables, n_scales, n_widths)) return BAD_TABLES;
    tables_t *t = calloc(1, sizeof *t);
    if (!t) return NO_MEMORY;
    t->n_tables = n_tables;
    t->n_scales = n_scales;
    if (make_room(t, n_widths, n_tables)) {
        sp_tables_free(t);
        return NO_MEMORY;
    }
    memcpy(t->half, half, n_tables * sizeof *half);
    memcpy(t->shift, shift, n_tables);
    memcpy(t->order, order, n_tables);
    uint32_t edge = 0;
    for (uint32_t i = 0; i < n_tables; i++) {
        t->start[i] = edge;
        t->info[i] = info_of(i, n_tables, n_scales, expected[i]);
        int rc = fill_table(t, i, widths);
        if (rc) {
            sp_tables_free(t);
            return rc;
        }
        memcpy(t->slope + edge, slope, (2u * half[i] + 2) * sizeof *slope);
        slope += 2u * half[i] + 2;
        widths += 2u * half[i] + 2;
        edge += 2u * half[i] + 3;
    }
    *out = t;
    return OK;
}

int sort_by_table(const tables_t *t, const uint16_t *index, size_t n, uint32_t **out)
{
    *out = NULL;
    if (n > MAX_BATCH) return TOO_LONG;
    uint32_t *perm = malloc((n + 1) * sizeof *perm);
    uint32_t *place = calloc((size_t)t->n_tables + 1, sizeof *place);
    if (!perm || !place) {
        free(perm); free(place);
        return NO_MEMORY;
    }
    for (size_t i = 0; i < n; i++) {
        if (index[i] >= t->n_tables) {
            free(perm); free(place);
            return BAD_TABLE_INDEX;
        }
        place[index[i] + 1]++;
    }
    for (uint32_t k = 0; k < t->n_tables; k++) place[k + 1] += place[k];
    for (size_t i = 0; i < n; i++) perm[place[index[i]]++] = (uint32_t)i;
    free(place);
    *out = perm;
    return OK;
}
