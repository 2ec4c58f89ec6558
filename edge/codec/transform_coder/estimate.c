/* What is expected of coefficients when decoding ends: the middles of their intervals, corrected by what stands around.
 * Integers only. estimate.py is the same in numpy.
 *
 * Neighbours within a subband go together, for a picture's spectrum falls within every octave; what bits are missing can in
 * part be told from them. (Wiener's filter by classes of local activity, as in the loop filters of video codecs:
 * Tsai et al., "Adaptive loop filtering for video coding", 2013.) */
#include "bitplane.h"

enum { TAPS = 5, ACTIVITIES = 7, WEIGHT_BITS = 12, MOST = 20 };

static const uint8_t ACTIVITY_FROM[ACTIVITIES - 1] = {0, 3, 6, 10, 16, 28}; /* above, and at or above units */

static inline int64_t size_of(int64_t v) { return v < 0 ? -v : v; }

static inline int64_t within(int64_t v, int64_t most) { return v > most ? most : v < -most ? -most : v; }

/* Where in its interval a value is expected that nothing is known of but its bits, in 1/64 of plane 0's step. */
static inline int64_t middle_of(int32_t twice, unsigned bits)
{
    int64_t length = (int64_t)1 << bits, size = size_of(twice), intervals = size >> (bits + 1);
    int64_t found = 32 * size - (intervals < 2 ? 5 : intervals < 4 ? 3 : 2) * length;
    return twice < 0 ? -found : twice ? found : 0;
}

API void sp_bitplane_middles(const int32_t *values, const uint8_t *bits, uint32_t n_values, int64_t *middles)
{
    for (uint32_t i = 0; i < n_values; i++) middles[i] = middle_of(values[i], bits[i]);
}

static inline int64_t estimate_of(const int64_t *at, ptrdiff_t s, unsigned bits, const int16_t *tables)
{
    int64_t unit = (int64_t)64 << bits, most = MOST * unit, own = at[0];
    int64_t west = at[-1], east = at[1], north = at[-s], south = at[s];
    int64_t nw = at[-s - 1], ne = at[-s + 1], sw = at[s - 1], se = at[s + 1];
    int64_t around = 2 * (size_of(west) + size_of(east) + size_of(north) + size_of(south))
                   + size_of(nw) + size_of(ne) + size_of(sw) + size_of(se);
    unsigned activity = around > 0;
    for (unsigned i = 1; i < ACTIVITIES - 1; i++) activity += around >= ACTIVITY_FROM[i] * unit;
    const int16_t *w = tables + (2 * activity + (own != 0)) * TAPS;
    int64_t sum = w[0] * within(own, most) + w[1] * (own > 0 ? unit : own < 0 ? -unit : 0)
                + w[2] * within(west + east, most) + w[3] * within(north + south, most)
                + w[4] * within(nw + ne + sw + se, most) + (1 << (WEIGHT_BITS - 1));
    return own + within(sum >> WEIGHT_BITS, unit);
}

/* middles: 1/64 of plane 0's step, of bits that are missing or of a trellis; bits: as sp_bitplane_decode leaves them; unit: 1/64 of
 * plane 0's step in DN; tables: kind, level, activity, whether found, tap; out: n_values, zero outside of subbands. */
API void sp_bitplane_estimate(const subband_t *bands, uint32_t n_bands, const int64_t *middles, const uint8_t *bits,
                              const int16_t *tables, float unit, float *out)
{
    for (uint32_t n = 0; n < n_bands; n++) {
        const subband_t *b = bands + n;
        const int16_t *mine = tables + (b->kind * 3 + b->level) * ACTIVITIES * 2 * TAPS;
        for (uint32_t y = 0; y < b->height; y++)
            for (uint32_t x = 0; x < b->width; x++) {
                size_t at = b->offset + (size_t)y * b->stride + x;
                out[at] = (float)estimate_of(middles + at, b->stride, bits[at], mine) * unit;
            }
    }
}
