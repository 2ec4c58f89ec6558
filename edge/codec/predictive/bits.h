/* Adaptive binary range coder: 64-bit interval, 32-bit words high byte first, 16-bit probabilities.
 *
 * One coder_t serves both directions, so that the model code is written once: every function takes the value to
 * encode and returns the value that is coded. A decoder knows which bits of its window the payload covers and fails
 * with ENDED as soon as some continuation of a cut payload would decode otherwise.
 *
 * Rows are encoded in two steps: the model queues which bits come (QUEUEING), then coder_drain codes them in one loop
 * that has nothing else to do. A queued bit is its place, in bit_t from `base`, twice, and its value; raw bits are RAW,
 * their number << 16, and their value.
 */
#ifndef SP_PREDICTIVE_BITS_H
#define SP_PREDICTIVE_BITS_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define INLINE static inline __attribute__((always_inline))
#else
#define UNLIKELY(x) (x)
#define INLINE static inline
#endif

enum { OK = 0, CORRUPT = 4, ENDED = 5, TOO_LONG = 7 }; /* as in rangecoder/coder.h */

#define PROBABILITY_BITS 16
#define MAX_RAW_BITS 16

/* Probability of a 1 in 1/65536, and how many bits have shaped it: it moves faster at first. */
typedef struct { uint16_t one, seen; } bit_t;

enum { DECODING = 0, ENCODING = 1, QUEUEING = 2 };
#define RAW ((uint32_t)1 << 31)
#define LEAST_RANGE ((uint64_t)1 << 32) /* between bits */

typedef struct {
    uint64_t range;
    uint64_t lower;   /* encoder: low end of the interval; decoder: the point's distance from it */
    uint64_t unknown; /* decoder: mask of the low bits of the point that the payload does not cover */
    uint64_t limit;   /* decoder: of the range, below which there is more to do: LEAST_RANGE while all is covered */
    uint8_t *bytes;
    size_t size, at; /* room or length, and bytes written or taken */
    uint32_t *queue;  /* QUEUEING: where the next bit goes, and what places count from */
    bit_t *base;
    int encoding, failed;
} coder_t;

typedef struct { uint64_t range, lower; size_t at; } mark_t; /* an encoder's state at the end of a layer */

void coder_start_encoding(coder_t *c, uint8_t *out, size_t capacity);
void coder_start_decoding(coder_t *c, const uint8_t *payload, size_t size);
void coder_drain(coder_t *c, const uint32_t *from, const uint32_t *end); /* queued bits, in the order they came */
size_t coder_finish(coder_t *c);                                   /* closes the run; length, 0 if TOO_LONG */
size_t coder_prefix(const mark_t *m, const uint8_t *bytes, size_t size); /* least prefix that holds all up to m */
void carry_into(uint8_t *bytes, size_t size);
uint64_t last_word(const uint8_t *bytes, size_t left); /* word and, above it, the mask of its bits that are not there */

/* Everything below is inlined into loops that keep a coder in registers: no function may take its address. */

INLINE void put_word(coder_t *c)
{
    if (UNLIKELY(c->size - c->at < 16)) { /* a run always has room to be closed */
        c->failed = TOO_LONG;
    } else {
        for (int i = 0; i < 4; i++) c->bytes[c->at + (size_t)i] = (uint8_t)(c->lower >> (56 - 8 * i));
        c->at += 4;
    }
    c->lower <<= 32;
    c->range <<= 32;
}

INLINE void take_word(coder_t *c)
{
    uint64_t word, left = c->size - c->at;
    if (UNLIKELY(left < 4)) {
        word = last_word(c->bytes + c->at, left);
        c->at = c->size;
        c->limit = UINT64_MAX;
    } else {
        const uint8_t *p = c->bytes + c->at;
        word = (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
        c->at += 4;
    }
    c->lower = c->lower << 32 | (uint32_t)word; /* below 2^32 before: it was inside the interval */
    c->unknown = c->unknown << 32 | word >> 32;
    c->range <<= 32;
}

/* A decoder's interval became narrow, or its point is not wholly known: c->limit says when that is looked at. */
INLINE void look_closer(coder_t *c)
{
    if (c->unknown && (c->unknown >= c->range || c->lower >= c->range - c->unknown) && !c->failed) c->failed = ENDED;
    if (c->range < LEAST_RANGE) take_word(c);
}

/* The part of the interval from `left` on, `width` wide. */
INLINE void narrow_encoder(coder_t *c, uint64_t left, uint64_t width)
{
    uint64_t lower = c->lower + left;
    if (UNLIKELY(lower < c->lower)) carry_into(c->bytes, c->at);
    c->lower = lower;
    c->range = width;
    if (UNLIKELY(width < LEAST_RANGE)) put_word(c);
}

/* The same, lower: how far the point is from its start. */
INLINE void narrow_decoder(coder_t *c, uint64_t lower, uint64_t width)
{
    c->lower = lower;
    c->range = width;
    if (UNLIKELY(width < c->limit)) look_closer(c);
}

#define SEEN_LIMIT 31
static const uint8_t ADAPTATION[SEEN_LIMIT + 1] = {2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5,
                                                   5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7};

/* A bit moves its probability; ones: 65535 where it is 1, else 0. */
INLINE void adapt(bit_t *b, uint32_t one, uint32_t ones)
{
    uint32_t seen = b->seen, off = one ^ ones;
    b->one = (uint16_t)((off - (off >> ADAPTATION[seen])) ^ ones);
    b->seen = (uint16_t)(seen + (seen < SEEN_LIMIT));
}

/* A bit into the interval; zero: all ones where it is 0, else 0. Masks, not branches: which way a bit falls is the one
 * thing that cannot be foreseen. */
INLINE void put_bit(coder_t *c, bit_t *b, uint64_t zero)
{
    uint32_t one = b->one;
    uint64_t bound = (c->range >> PROBABILITY_BITS) * one, rest = (c->range & zero) - zero;
    adapt(b, one, (uint32_t)~zero & 65535);
    narrow_encoder(c, bound & zero, rest + (bound ^ zero)); /* range - bound, or bound */
}

INLINE int take_bit(coder_t *c, bit_t *b)
{
    uint32_t one = b->one;
    uint64_t bound = (c->range >> PROBABILITY_BITS) * one;
    int bit = c->lower < bound;
    uint64_t taken = (uint64_t)0 - (uint64_t)bit, rest = c->range - bound;
    adapt(b, one, (uint32_t)taken & 65535);
    narrow_decoder(c, c->lower - (bound & ~taken), rest ^ ((rest ^ bound) & taken));
    return bit;
}

INLINE uint32_t place_of(const coder_t *c, const bit_t *b) { return (uint32_t)(b - c->base) << 1; }

INLINE int code_bit(coder_t *c, bit_t *b, int bit)
{
    if (c->encoding == DECODING) return take_bit(c, b);
    if (c->encoding == QUEUEING) *c->queue++ = place_of(c, b) | (uint32_t)(bit & 1);
    else put_bit(c, b, (uint64_t)(bit & 1) - 1);
    return bit;
}

/* The same where the caller goes another way by the bit anyhow. */
INLINE int code_branch(coder_t *c, bit_t *b, int bit)
{
    if (c->encoding != DECODING) return code_bit(c, b, bit);
    uint32_t one = b->one;
    uint64_t bound = (c->range >> PROBABILITY_BITS) * one;
    if (c->lower < bound) {
        adapt(b, one, 65535);
        narrow_decoder(c, c->lower, bound);
        return 1;
    }
    adapt(b, one, 0);
    narrow_decoder(c, c->lower - bound, c->range - bound);
    return 0;
}

/* n equally likely bits, at most MAX_RAW_BITS. */
INLINE uint32_t code_raw(coder_t *c, unsigned n, uint32_t value)
{
    if (n == 0) return 0;
    uint64_t width = c->range >> n;
    if (c->encoding == QUEUEING) {
        *c->queue++ = RAW | n << 16 | value;
    } else if (c->encoding == ENCODING) {
        narrow_encoder(c, value * width, width);
    } else {
        uint64_t q = c->lower / width;
        value = q >> n ? (1u << n) - 1 : (uint32_t)q;
        narrow_decoder(c, c->lower - value * width, width);
    }
    return value;
}

#define NUMBER_BITS 24
typedef struct { bit_t more[NUMBER_BITS]; } number_t;

/* A number from 0 to 2^24 - 2: Elias gamma of value + 1, its length in adaptive bits. */
uint32_t code_number(coder_t *c, number_t *n, uint32_t value);
int32_t code_signed(coder_t *c, number_t *n, int32_t value); /* zigzag: 0, -1, 1, -2, ... */
void bits_reset(bit_t *b, size_t n);

#endif
