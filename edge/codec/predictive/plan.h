/* What plan.c works in; see there. */
#ifndef SP_PREDICTIVE_PLAN_H
#define SP_PREDICTIVE_PLAN_H

#include "predictive.h"

#define UNIT 32768          /* a correlation of 1 */
#define DETAIL_SAMPLES 1024
#define LEAST_GAIN 256      /* a reference explains at least 1/256 of what is left */
#define LOOK_ROWS 64         /* how many rows are looked at for what holds of a whole band */
#define SMALL 8              /* differences up to it are counted one by one */
#define LEAST_REPEATS 24     /* share of pixels that repeat one beyond chance, inverted */
#define COPY_SAVES 832       /* bits of 256 that a repeated pixel saves beyond log2(change / step) */
#define SHARED_COPY_SAVES 512
#define FINE_BELOW 3         /* octaves that errors (in 1/16) must be above those bits */
#define LEAST_FINE 4         /* bits of 256 a sample that coding by how often values occur must save */
#define LEAST_OWN 64        /* and differs by at least 1/64 from those before it */
#define FIT_SAMPLES 8192
#define LEAST_SAMPLES 64
#define FIT_SIZE (MOST_TAPS + 1) /* taps and target */
#define CHUNK 128
#define ACTIVITIES 128
#define RATIO_BITS 24
#define RATIO_LIMIT ((int64_t)1 << 32)
#define RIDGE 13
#define LEAST_PIVOT 32768
#define SAFE_SUM 60000       /* of a class's weights before they are rounded to their units */
#define SAFE_WEIGHT 32000
#define MOST_SHARE ((int64_t)1 << 34)
#define MOST_VARIANCE ((int64_t)1 << 36)
#define SIMPLE_SETS 2
#define WEIGHT_COST 11      /* bits of a weight in the payload, about */

typedef struct {
    int64_t ratio[FIT_SIZE][FIT_SIZE], pivoted[FIT_SIZE][FIT_SIZE], start;
    int32_t log[FIT_SIZE];
} solution_t;

typedef struct {
    int32_t n, looks, n_lanes, target_log, scale[ACTIVITIES];
    uint32_t shift, quarter[3], end[TAP_SETS];
    uint8_t lane[FIT_SIZE];
    int64_t noise[GROUPS], weight, product[MAX_CLASSES][FIT_SIZE][FIT_SIZE];
    int32_t place[FIT_SAMPLES], sorted[FIT_SAMPLES]; /* of the pixels in the band's plane; the same by class */
    int16_t weights[FIT_SAMPLES];                    /* scales of the sorted ones */
    uint8_t activity[FIT_SAMPLES], class[FIT_SAMPLES]; /* class: before they are sorted, by place in cells of 2 x 2 */
    int16_t chunk[FIT_SIZE][CHUNK];
    solution_t solution[1 + 2 + 4];
    uint32_t count[MAP_LIMIT + 64]; /* pixels of a code, then of a rank, and weighted_log of each */
    int32_t weighted[MAP_LIMIT + 64];
} fit_t;

uint64_t isqrt64(uint64_t v);
int32_t log2_256(uint64_t v);
void choose_values(fit_t *f, tile_t *t, int32_t band); /* list and fine bits, after the predictor */
void find_range(band_t *b, const int32_t *samples, const uint8_t *valid, int32_t n, int32_t max_error);
void choose_structure(tile_t *t, const int32_t *max_error); /* order and references; planes hold the samples */
void choose_predictor(fit_t *f, tile_t *t, int32_t band, const int32_t *max_error);
int32_t survey(fit_t *f, const tile_t *t, int32_t band); /* which pixels, and quarters of activity; how many */
void accumulate(fit_t *f, const tile_t *t, int32_t band); /* products of their taps and themselves, by class */
#if defined(WIDE_VECTORS)
void add_products_wide(fit_t *f, uint32_t class, int32_t i, int32_t n); /* add_products of products.h with AVX2 */
#endif
int cell_has_valid(const tile_t *t, int32_t band, int32_t y, int32_t x); /* looked up; cell_is_valid knows of the tile */

static inline int cell_is_valid(const tile_t *t, int32_t band, int32_t y, int32_t x)
{
    return t->all_valid || cell_has_valid(t, band, y, x);
}

/* Is a pixel's value coded by prediction? */
static inline int counts(const tile_t *t, int32_t band, int32_t y, int32_t x)
{
    const plane_t *p = &t->plane[band];
    const int16_t *at = p->at + y * p->stride + x;
    if (t->band[band].copies && (at[0] == at[-1] || at[0] == at[-p->stride])) return 0;
    return cell_is_valid(t, band, y, x);
}

#endif
