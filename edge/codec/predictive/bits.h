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

/* Probability of a 1 in 1/65536 as the mean of a quick and a slow average; both adapt faster at first. */
typedef struct { uint16_t quick, slow, seen, unused; } bit_t;

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
void coder_put_word(coder_t *c);
void coder_take_word(coder_t *c);
void coder_carry(coder_t *c);

INLINE void coder_narrow(coder_t *c, uint64_t left, uint64_t width)
{
    if (c->encoding) {
        uint64_t lower = c->lower + left;
        if (UNLIKELY(lower < c->lower)) coder_carry(c);
        c->lower = lower;
    } else {
        c->lower -= left;
        if (UNLIKELY(c->unknown != 0) && (c->unknown >= width || c->lower >= width - c->unknown)) c->failed = ENDED;
    }
    c->range = width;
    if (UNLIKELY(width < ((uint64_t)1 << 32))) {
        if (c->encoding) coder_put_word(c);
        else coder_take_word(c);
    }
}

static const uint8_t ADAPTATION[32] = {2, 2, 3, 3, 3, 4, 4, 4, 4, 4, 4, 5, 5, 5, 5, 5,
                                       5, 5, 5, 5, 5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6, 7};
#define QUICK_RATE 5

INLINE int code_bit(coder_t *c, bit_t *b, int bit)
{
    uint64_t bound = (c->range >> PROBABILITY_BITS) * (((uint32_t)b->quick + b->slow) >> 1);
    if (!c->encoding) bit = c->lower < bound;
    if (bit) coder_narrow(c, 0, bound);
    else coder_narrow(c, bound, c->range - bound);
    unsigned slow = ADAPTATION[b->seen], quick = slow < QUICK_RATE ? slow : QUICK_RATE;
    b->seen = (uint16_t)(b->seen + (b->seen < 31));
    if (bit) {
        b->quick = (uint16_t)(b->quick + ((65535 - b->quick) >> quick));
        b->slow = (uint16_t)(b->slow + ((65535 - b->slow) >> slow));
    } else {
        b->quick = (uint16_t)(b->quick - (b->quick >> quick));
        b->slow = (uint16_t)(b->slow - (b->slow >> slow));
    }
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
    coder_narrow(c, value * width, width);
    return value;
}

#define NUMBER_BITS 24
typedef struct { bit_t more[NUMBER_BITS]; } number_t;

/* A number from 0 to 2^24 - 2: Elias gamma of value + 1, its length in adaptive bits. */
uint32_t code_number(coder_t *c, number_t *n, uint32_t value);
int32_t code_signed(coder_t *c, number_t *n, int32_t value); /* zigzag: 0, -1, 1, -2, ... */
void bits_reset(bit_t *b, size_t n);

#endif
