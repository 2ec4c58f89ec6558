/* What the decoder's float32 arithmetic needs of the compiler: every operation rounded by itself (exact.py is the Python side). */
#ifndef SP_EXACT_H
#define SP_EXACT_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__FAST_MATH__) || FLT_EVAL_METHOD != 0
#error "float32 must be rounded after every operation: the ground draws the same pixels as the board"
#endif

#if defined(__GNUC__)
#define API __attribute__((visibility("default")))
#else
#define API
#endif

#endif
