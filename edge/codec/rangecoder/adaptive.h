/* Scales that follow the scene: which table a symbol is coded with, learned from the symbols before it.
 * adaptive.py says how; the arrays are those of its `Adaptation`, which owns them. */
#ifndef SP_ADAPTIVE_H
#define SP_ADAPTIVE_H

#include "coder.h"

#define CLASSES 16
#define PRIOR_WEIGHT 2048   /* of "as expected" in a ratio, in 1/256 of 1/8 step */
#define DISTANCE_LIMIT 4095 /* of a symbol from its mean, in 1/8 step */
#define MAP_SHIFT 3         /* a place's record forgets 1/8 with every symbol */
#define RATES 2048
#define THETA_BITS 16
#define THETA_LIMIT (20 << THETA_BITS)

typedef struct { int32_t distance, expected; } record_t; /* both in 1/256 of 1/8 step */
typedef struct { int32_t theta, count; } context_t;      /* theta in 2^-16 of a scale */

typedef struct {
    context_t *contexts;    /* 2 sets of CLASSES x CLASSES, of the kind that is being coded */
    context_t *channels;
    record_t *seen;         /* channels x (height + 2) x (width + 2), zero where nothing is known */
    record_t *map;          /* (height + 2) x (width + 2) */
    const int32_t *rates;   /* of channels, then of the other contexts: 2 x RATES */
    const uint8_t *classes; /* by the sixteenths of a ratio, 256 of them */
    uint32_t n_channels, height, width;
} adapt_t;

typedef struct {
    context_t *of[3];
    record_t *seen, *map;
    uint32_t table;
} choice_t;

/* Checks a batch of n_channels rows of n symbols; places count in the grid with its border. adaptive.c */
int check_adaptive(const tables_t *t, const adapt_t *a, const uint16_t *index, const uint32_t *places, size_t n);

/* How the cost of a symbol changes with the scale, in 1/256 bit. */
static inline int32_t slope_of(const tables_t *t, uint32_t k, int32_t symbol)
{
    return t->slope[t->start[k] + slot_of(t, k, symbol)];
}

static inline uint32_t class_of(const adapt_t *a, record_t sum)
{
    uint32_t ratio = 16u * ((uint32_t)sum.distance + PRIOR_WEIGHT) / ((uint32_t)sum.expected + PRIOR_WEIGHT);
    return a->classes[ratio < 255 ? ratio : 255];
}

/* What is known around a place: four sides count twice, four corners once. */
static inline record_t around(const record_t *here, uint32_t stride)
{
    const record_t *up = here - stride, *down = here + stride;
    record_t sum;
    sum.distance = 2 * (here[-1].distance + here[1].distance + up->distance + down->distance)
                   + up[-1].distance + up[1].distance + down[-1].distance + down[1].distance;
    sum.expected = 2 * (here[-1].expected + here[1].expected + up->expected + down->expected)
                   + up[-1].expected + up[1].expected + down[-1].expected + down[1].expected;
    return sum;
}

/* The table for the symbol of a channel at a place, where the model says table k. */
static inline choice_t choose_table(const tables_t *t, const adapt_t *a, uint32_t channel, uint32_t place, uint32_t k)
{
    uint32_t stride = a->width + 2;
    int32_t scale = t->info[k].scale, last = (int32_t)t->n_scales - 1;
    choice_t choice;
    choice.map = a->map + place;
    choice.seen = a->seen + (size_t)channel * stride * (a->height + 2) + place;
    record_t own = { 4 * choice.map->distance, 4 * choice.map->expected };
    context_t *contexts = a->contexts + t->info[k].range * CLASSES;
    choice.of[0] = a->channels + channel;
    choice.of[1] = contexts + class_of(a, around(choice.seen, stride));
    choice.of[2] = contexts + CLASSES * CLASSES + class_of(a, own);
    int32_t theta = choice.of[0]->theta + choice.of[1]->theta + choice.of[2]->theta;
    uint32_t above = (uint32_t)(theta + 4 * THETA_LIMIT + (1 << (THETA_BITS - 1)));
    int32_t moved = scale + (int32_t)(above >> THETA_BITS) - 4 * (THETA_LIMIT >> THETA_BITS);
    choice.table = k - (uint32_t)scale + (uint32_t)(moved < 0 ? 0 : moved > last ? last : moved);
    return choice;
}

static inline void move(context_t *c, const int32_t *rates, int32_t slope)
{
    int32_t theta = c->theta - slope * rates[c->count];
    c->theta = theta > THETA_LIMIT ? THETA_LIMIT : theta < -THETA_LIMIT ? -THETA_LIMIT : theta;
    c->count += c->count < RATES - 1;
}

/* What the symbol teaches that was coded with a choice, where the model said table k. */
static inline void learn(const tables_t *t, const adapt_t *a, const choice_t *choice, uint32_t k, int32_t symbol,
                         int32_t slope)
{
    int32_t distance = 8 * symbol - t->info[k].eighths;
    if (distance < 0) distance = -distance;
    if (distance > DISTANCE_LIMIT) distance = DISTANCE_LIMIT;
    record_t seen = { distance << 8, t->info[k].expected };
    *choice->seen = seen;
    choice->map->distance += (seen.distance >> MAP_SHIFT) - (choice->map->distance >> MAP_SHIFT);
    choice->map->expected += (seen.expected >> MAP_SHIFT) - (choice->map->expected >> MAP_SHIFT);
    move(choice->of[0], a->rates, slope);
    move(choice->of[1], a->rates + RATES, slope);
    move(choice->of[2], a->rates + RATES, slope);
}

#endif
