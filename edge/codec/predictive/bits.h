/* Adaptive binary range coder: 64-bit interval, 32-bit words high byte first, 16-bit probabilities.
 *
 * One coder_t serves both directions, so that the model code is written once: every function takes the value to
 * encode and returns the value that is coded. A decoder knows which bits of its window the payload covers and fails
 * with ENDED as soon as some continuation of a cut payload would decode otherwise.
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

typedef struct {
    uint64_t range;
    uint64_t lower;   /* encoder: low end of the interval; decoder: the point's distance from it */
    uint64_t unknown; /* decoder: mask of the low bits of the point that the payload does not cover */
    uint8_t *bytes;
    size_t size, at; /* room or length, and bytes written or taken */
    int encoding, failed;
} coder_t;

typedef struct { uint64_t range, lower; size_t at; } mark_t; /* an encoder's state at the end of a layer */

void coder_start_encoding(coder_t *c, uint8_t *out, size_t capacity);
void coder_start_decoding(coder_t *c, const uint8_t *payload, size_t size);
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
    } else {
        const uint8_t *p = c->bytes + c->at;
        word = (uint64_t)p[0] << 24 | (uint64_t)p[1] << 16 | (uint64_t)p[2] << 8 | p[3];
        c->at += 4;
    }
    c->lower = c->lower << 32 | (uint32_t)word; /* below 2^32 before: it was inside the interval */
    c->unknown = c->unknown << 32 | word >> 32;
    c->range <<= 32;
}

INLINE void narrow(coder_t *c, uint64_t left, uint64_t width)
{
    if (c->encoding) {
        uint64_t lower = c->lower + left;
        if (UNLIKELY(lower < c->lower)) carry_into(c->bytes, c->at);
        c->lower = lower;
    } else {
        c->lower -= left;
        if (UNLIKELY(c->unknown != 0) && (c->unknown >= width || c->lower >= width - c->unknown) &&
            !c->failed)
            c->failed = ENDED;
    }
    c->range = width;
    if (UNLIKELY(width < ((uint64_t)1 << 32))) {
        if (c->encoding) put_word(c);
        else take_word(c);
    }
}

#define SEEN_LIMIT 31
static const uint8_t ADAPTATION[SEEN_LIMIT + 1] = {2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5,
                                                   5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7};

INLINE int code_bit(coder_t *c, bit_t *b, int bit)
{
    uint32_t one = b->one, seen = b->seen, rate = ADAPTATION[seen];
    uint64_t bound = (c->range >> PROBABILITY_BITS) * one;
    if (!c->encoding) bit = c->lower < bound;
    b->seen = (uint16_t)(seen + (seen < SEEN_LIMIT));
    /* Masks, not branches: which way a bit falls is the one thing that cannot be foreseen. */
    uint64_t taken = (uint64_t)0 - (uint64_t)(bit & 1), rest = c->range - bound;
    b->one = (uint16_t)(one + (((65535 - one) >> rate) & (uint32_t)taken) - ((one >> rate) & ~(uint32_t)taken));
    narrow(c, bound & ~taken, rest ^ ((rest ^ bound) & taken));
    return bit;
}

/* n equally likely bits, at most MAX_RAW_BITS. */
INLINE uint32_t code_raw(coder_t *c, unsigned n, uint32_t value)
{
    if (n == 0) return 0;
    uint64_t width = c->range >> n;
    if (!c->encoding) {
        uint64_t q = c->lower / width;
        value = q >> n ? (1u << n) - 1 : (uint32_t)q;
    }
    narrow(c, value * width, width);
    return value;
}

#define NUMBER_BITS 24
typedef struct { bit_t more[NUMBER_BITS]; } number_t;

/* A number from 0 to 2^24 - 2: Elias gamma of value + 1, its length in adaptive bits. */
uint32_t code_number(coder_t *c, number_t *n, uint32_t value);
int32_t code_signed(coder_t *c, number_t *n, int32_t value); /* zigzag: 0, -1, 1, -2, ... */
void bits_reset(bit_t *b, size_t n);

#endif
