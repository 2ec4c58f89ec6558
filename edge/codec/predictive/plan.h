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
#define FINE_BELOW 3         /* octaves that errors (in 1/16) must be above those bits */
#define LEAST_FINE 4         /* bits of 256 a sample that coding by how often values occur must save */
#define LEAST_OWN 64        /* and differs by at least 1/64 from those before it */
#define FIT_SAMPLES 8192
#define LEAST_SAMPLES 64
#define FIT_SIZE (MOST_TAPS + 1) /* taps and target */
#define CHUNK 128
#define ACTIVITIES 128
#define SAMPLE 96            /* weights, the target, whole vectors of 8 */
#define RATIO_BITS 24
#define RATIO_LIMIT ((int64_t)1 << 32)
#define RIDGE 13
#define LEAST_PIVOT 32768
#define SAFE_SUM 60000       /* of a class's weights before they are rounded to their units */
#define SAFE_WEIGHT 32000
#define MOST_SHARE ((int64_t)1 << 34)
#define MOST_VARIANCE ((int64_t)1 << 36)
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
    int32_t filled[MAX_CLASSES];
    int16_t chunk[MAX_CLASSES][FIT_SIZE][CHUNK];
    solution_t solution[1 + 2 + 4];
    uint32_t count[MAP_LIMIT + 64];
} fit_t;

uint64_t isqrt64(uint64_t v);
int32_t log2_256(uint64_t v);
void choose_values(tile_t *t, int32_t band, uint32_t *count); /* list and fine bits, after the predictor */
void find_range(band_t *b, const int32_t *samples, const uint8_t *valid, int32_t n, int32_t max_error);
void choose_structure(tile_t *t, const int32_t *max_error); /* order and references; planes hold the samples */
void choose_predictor(fit_t *f, tile_t *t, int32_t band, const int32_t *max_error);
int counts(const tile_t *t, int32_t band, int32_t y, int32_t x); /* is a pixel's value coded by prediction? */
int cell_is_valid(const tile_t *t, int32_t band, int32_t y, int32_t x);

#endif
