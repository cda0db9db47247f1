/* What the C files of this package share: the number format of matrices, and functions that a compiler can vectorise
   where it could not do so with a call to the C library's.

   `real` is the type of what matrices multiply; sums are float. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#ifdef BF16
typedef uint16_t real;

static inline float load(real x) {
    uint32_t bits = (uint32_t)x << 16;
    float value;
    memcpy(&value, &bits, 4);
    return value;
}

/* Rounds to nearest, ties to even. */
static inline real store(float x) {
    uint32_t bits;
    memcpy(&bits, &x, 4);
    return (real)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
#else
typedef float real;
static inline float load(real x) { return x; }
static inline real store(float x) { return x; }
#endif

/* exp to 2e-7, relative: 2^n times a polynomial (Cephes' expf); x is cut to [-87, 87]. */
static inline float exponential(float x) {
    x = x < -87.0f ? -87.0f : x;
    x = x > 87.0f ? 87.0f : x;
    float n = rintf(x * 1.44269504f);
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * r * r + r + 1.0f;
    int32_t bits = ((int32_t)n + 127) << 23;
    float scale;
    memcpy(&scale, &bits, 4);
    return p * scale;
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }
static inline float tangent(float x) { return 2.0f * sigmoid(2.0f * x) - 1.0f; }
