/* Adaptive binary range coding with logistic mixing, integers only.
 *
 * Range coder: 32-bit range, 16-bit probabilities, bytes out, carries resolved before a byte leaves (Martin 1979).
 * The stream is embedded: any prefix of its bytes settles a prefix of its decisions, and the decoder knows which:
 * `slack` is how much the bytes that are missing could still add to the code value.
 *
 * Model: a decision has up to MAX_INPUTS adaptive states, each a 16-bit probability of a one with a count that sets
 * its rate of adaptation; their log-odds are mixed with weights that learn online (Mahoney 2005, "Adaptive weighing
 * of context models for lossless data compression"). All tables are built from integers.
 */
#ifndef SP_BINARY_CODER_H
#define SP_BINARY_CODER_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define MAX_INPUTS 6
#define STRETCH_LIMIT 2047 /* log-odds in 1/170 nat */
#define FULL_RANGE 0xFFFFFFFFu

typedef struct { uint16_t p, n; } prob_t; /* probability of a one / 65536; observations so far, up to a limit */

typedef struct {
    int16_t stretch[4096]; /* log-odds of i / 4096 */
    uint16_t squash[4096]; /* 65536 / (1 + exp(-(i - 2048) / 170)), kept within 16 .. 65520 */
    uint16_t rate[256];    /* 65536 / (n + 1.6) */
} model_tables_t;

typedef struct {
    uint64_t low;
    uint32_t range;
    int cache; /* a byte that a carry may still reach; -1 before the first */
    size_t pending;  /* bytes FF held back behind it */
    size_t position; /* bytes of the code value that have been shifted out or in */
    uint8_t *out;
    size_t size, capacity;
    int decoding, settled; /* settled: the last decision does not depend on bytes that are missing */
    const uint8_t *in, *end;
    uint32_t code, slack;
} range_coder_t;

static inline void rc_start_encoder(range_coder_t *c, uint8_t *out, size_t capacity)
{
    memset(c, 0, sizeof *c);
    c->range = FULL_RANGE; c->cache = -1; c->out = out; c->capacity = capacity; c->settled = 1;
}

static inline void rc_take_byte(range_coder_t *c)
{
    c->code <<= 8; c->slack <<= 8;
    if (c->in < c->end) c->code |= *c->in++;
    else c->slack |= 0xFF;
}

static inline void rc_start_decoder(range_coder_t *c, const uint8_t *in, size_t size)
{
    memset(c, 0, sizeof *c);
    c->range = FULL_RANGE; c->decoding = 1; c->settled = 1; c->in = in; c->end = in + size;
    for (int i = 0; i < 4; i++) rc_take_byte(c);
}

static inline void rc_put_byte(range_coder_t *c, unsigned byte)
{
    if (c->size < c->capacity) c->out[c->size] = (uint8_t)byte;
    c->size++;
}

static inline void rc_release(range_coder_t *c, unsigned carry)
{
    if (c->cache >= 0) rc_put_byte(c, (unsigned)c->cache + carry);
    for (; c->pending; c->pending--) rc_put_byte(c, 0xFF + carry);
}

static inline void rc_shift(range_coder_t *c)
{
    if (c->low < 0xFF000000u || c->low >> 32) {
        rc_release(c, (unsigned)(c->low >> 32));
        c->cache = (int)((c->low >> 24) & 0xFF);
    } else {
        c->pending++;
    }
    c->position++;
    c->low = (c->low & 0x00FFFFFFu) << 8;
}

/* Code one decision whose probability of a one is p / 65536, 0 < p < 65536. Returns it. */
static inline int rc_bit(range_coder_t *c, int bit, uint32_t p)
{
    uint32_t bound = (c->range >> 16) * p; /* range >= 2^24, so 0 < bound < range */
    if (c->decoding) {
        bit = c->code < bound;
        if (c->slack && bit && (uint64_t)c->code + c->slack >= bound) c->settled = 0;
        uint32_t zero = (uint32_t)bit - 1; /* all ones for a zero: no branch on what cannot be foreseen */
        c->code -= bound & zero;
        c->range = bound + ((c->range - 2 * bound) & zero);
        while (c->range < 1u << 24) { c->range <<= 8; c->position++; rc_take_byte(c); }
    } else {
        uint32_t zero = (uint32_t)bit - 1;
        c->low += bound & zero;
        c->range = bound + ((c->range - 2 * bound) & zero);
        while (c->range < 1u << 24) { c->range <<= 8; rc_shift(c); }
    }
    return bit;
}

/* End the stream in the fewest bytes after which any continuation decodes to the same decisions. */
static inline void rc_finish(range_coder_t *c)
{
    for (int bytes = 1; bytes <= 4; bytes++) {
        uint64_t unit = (uint64_t)1 << (32 - 8 * bytes), value = (c->low + unit - 1) & ~(unit - 1);
        if (value + unit > c->low + c->range) continue;
        c->low = value;
        for (int i = 0; i < bytes; i++) rc_shift(c);
        break;
    }
    rc_release(c, 0);
    c->cache = -1;
}

typedef struct { uint32_t low, range; size_t position; } rc_mark_t;

static inline rc_mark_t rc_mark(const range_coder_t *c)
{
    rc_mark_t m = {(uint32_t)c->low, c->range, c->position};
    return m;
}

/* Fewest bytes of the finished stream that settle everything before the mark. */
static inline size_t rc_settled_size(const range_coder_t *c, const rc_mark_t *m)
{
    uint32_t x = 0;
    if (m->range == FULL_RANGE && m->position == 0) return 0;
    for (size_t i = 0; i < 4; i++) x = x << 8 | (m->position + i < c->size ? c->out[m->position + i] : 0u);
    for (unsigned bytes = 0; bytes < 4; bytes++) {
        uint32_t rest = bytes ? FULL_RANGE >> (8 * bytes) : FULL_RANGE, above = x - m->low;
        if (above >= (x & rest) && (uint64_t)above - (x & rest) + rest < m->range)
            return m->position + bytes < c->size ? m->position + bytes : c->size;
    }
    return m->position + 4 < c->size ? m->position + 4 : c->size;
}

/* ------------------------------------------------------------------ model */

static const uint32_t SQUASH_KNOTS[65] = { /* 65536 / (1 + exp(-(i - 32) * 64 / 170)) */
    0, 1, 1, 1, 2, 3, 4, 5, 8, 11, 17, 24, 35,
    51, 75, 109, 158, 230, 335, 487, 708, 1026, 1484, 2141, 3073, 4384,
    6199, 8659, 11898, 16008, 20983, 26672, 32768, 38864, 44553, 49528, 53638, 56877, 59337,
    61152, 62463, 63395, 64052, 64510, 64828, 65049, 65201, 65306, 65378, 65427, 65461, 65485,
    65501, 65512, 65519, 65525, 65528, 65531, 65532, 65533, 65534, 65535, 65535, 65535, 65536
};

static inline void model_tables(model_tables_t *t)
{
    for (int i = 0; i < 4096; i++) {
        uint32_t a = SQUASH_KNOTS[i >> 6], b = SQUASH_KNOTS[(i >> 6) + 1];
        uint32_t p = a + (b - a) * (uint32_t)(i & 63) / 64;
        t->squash[i] = (uint16_t)(p < 16 ? 16 : p > 65520 ? 65520 : p);
    }
    int next = 0;
    for (int x = 0; x < 4096; x++) /* the inverse: the least log-odds that reach a probability */
        for (int last = t->squash[x] >> 4; next <= last; next++) t->stretch[next] = (int16_t)(x - 2048);
    for (; next < 4096; next++) t->stretch[next] = STRETCH_LIMIT;
    for (int n = 0; n < 256; n++) t->rate[n] = (uint16_t)(327680 / (10 * n + 16)); /* 32768 / (n + 1.6) */
}

#define WEIGHT_ONE 16384
#define WEIGHT_LIMIT (8 * WEIGHT_ONE)

static inline void prob_update(const model_tables_t *t, prob_t *s, int bit, int limit)
{
    int32_t target = 65535 & -bit;
    s->p = (uint16_t)(s->p + (((target - s->p) * (int32_t)t->rate[s->n]) >> 15));
    s->n = (uint16_t)(s->n + (s->n < limit));
}

/* Code one decision with n mixed states and a set of n weights. */
static inline int mixed_bit(range_coder_t *c, const model_tables_t *t, int bit, prob_t *const *states, int n,
                            int32_t *weights, int limit, int shift)
{
    int32_t odds[MAX_INPUTS], dot = 0;
    for (int i = 0; i < n; i++) {
        odds[i] = t->stretch[states[i]->p >> 4];
        dot += odds[i] * weights[i];
    }
    dot >>= 14;
    dot = dot > STRETCH_LIMIT ? STRETCH_LIMIT : dot < -STRETCH_LIMIT ? -STRETCH_LIMIT : dot;
    uint32_t p = t->squash[dot + 2048];
    bit = rc_bit(c, bit, p);
    int32_t error = (65536 & -bit) - (int32_t)p;
    for (int i = 0; i < n; i++) {
        int32_t w = weights[i] + ((odds[i] * error + (1 << (shift - 1))) >> shift);
        weights[i] = w > WEIGHT_LIMIT ? WEIGHT_LIMIT : w < -WEIGHT_LIMIT ? -WEIGHT_LIMIT : w;
        prob_update(t, states[i], bit, limit);
    }
    return bit;
}

#endif
