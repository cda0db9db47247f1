/* What training M computes between matrix products, each in one pass over memory.

   Plain loops that a C compiler turns into vector instructions; compiled with and without BF16. Matrices are row-major;
   rows do not depend on each other, so any number of threads gives the same bits. */

#include "arithmetic.h"

/* One step of the LSTM: gates [rows, 4H] hold i, f, 2g, o before their nonlinearities and are replaced by the sigmoid
   of each, from which tanh(g) = 2 sigmoid(2g) - 1. after and h [rows, H] are written. */
void cell(int64_t threads, int64_t rows, int64_t H, real *gates, const float *before, float *after, real *h) {
#pragma omp parallel for if (threads > 1) num_threads(threads)
    for (int64_t row = 0; row < rows; row++) {
        real *restrict gate_i = gates + row * 4 * H, *restrict gate_f = gate_i + H;
        real *restrict gate_s = gate_f + H, *restrict gate_o = gate_s + H, *restrict h_row = h + row * H;
        const float *restrict c = before + row * H;
        float *restrict next = after + row * H;
#pragma omp simd
        for (int64_t k = 0; k < H; k++) {
            float i = sigmoid(load(gate_i[k])), f = sigmoid(load(gate_f[k]));
            float s = sigmoid(load(gate_s[k])), o = sigmoid(load(gate_o[k]));
            next[k] = f * c[k] + i * (2.0f * s - 1.0f);
            h_row[k] = store(o * tangent(next[k]));
            gate_i[k] = store(i);
            gate_f[k] = store(f);
            gate_s[k] = store(s);
            gate_o[k] = store(o);
        }
    }
}

/* Back through that step. gates as it left them; d_output and d_next [rows, H]: the gradients of h from the loss and
   from the next step; d_c [rows, H]: that of `after`, replaced by that of `before`. d_gates [rows, 4H]: those of
   i, f, g, o before their nonlinearities, a fourth of g's. */
void cell_backward(int64_t threads, int64_t rows, int64_t H, const real *gates, const float *before,
                   const float *after, const real *d_output, const real *d_next, float *d_c, real *d_gates) {
#pragma omp parallel for if (threads > 1) num_threads(threads)
    for (int64_t row = 0; row < rows; row++) {
        const real *restrict gate_i = gates + row * 4 * H, *restrict gate_f = gate_i + H;
        const real *restrict gate_s = gate_f + H, *restrict gate_o = gate_s + H;
        const real *restrict d_h1 = d_output + row * H, *restrict d_h2 = d_next + row * H;
        const float *restrict c = before + row * H, *restrict next = after + row * H;
        float *restrict d_cell = d_c + row * H;
        real *restrict d_i = d_gates + row * 4 * H, *restrict d_f = d_i + H;
        real *restrict d_s = d_f + H, *restrict d_o = d_s + H;
#pragma omp simd
        for (int64_t k = 0; k < H; k++) {
            float i = load(gate_i[k]), f = load(gate_f[k]), s = load(gate_s[k]), o = load(gate_o[k]);
            float tanh_c = tangent(next[k]), d_h = load(d_h1[k]) + load(d_h2[k]);
            float d = d_cell[k] + d_h * o * (1.0f - tanh_c * tanh_c);
            d_i[k] = store(i * (1.0f - i) * d * (2.0f * s - 1.0f));
            d_f[k] = store(f * (1.0f - f) * d * c[k]);
            d_s[k] = store(s * (1.0f - s) * d * i);
            d_o[k] = store(o * (1.0f - o) * d_h * tanh_c);
            d_cell[k] = d * f;
        }
    }
}

/* log of a normal number over 0, to 1e-7 (Cephes' logf). */
static inline float logarithm(float x) {
    int32_t bits;
    memcpy(&bits, &x, 4);
    int32_t exponent = (bits - 0x3f3504f3) >> 23; /* the mantissa lies in [sqrt(1/2), sqrt(2)) */
    bits -= exponent * (1 << 23);
    float m;
    memcpy(&m, &bits, 4);
    m -= 1.0f;
    float p = 7.0376836292e-2f;
    p = p * m - 1.1514610310e-1f;
    p = p * m + 1.1676998740e-1f;
    p = p * m - 1.2420140846e-1f;
    p = p * m + 1.4249322787e-1f;
    p = p * m - 1.6668057665e-1f;
    p = p * m + 2.0000714765e-1f;
    p = p * m - 2.4999993993e-1f;
    p = p * m + 3.3333331174e-1f;
    float n = (float)exponent;
    float value = m * m * m * p - 0.5f * m * m - n * 2.12194440e-4f + m + n * 0.693359375f;
    return x > 0.0f ? value : x; /* NaN stays NaN */
}

/* exp for x <= 0: a component this unlikely must weigh nothing, however steep its Gaussian is at z. */
static inline float fraction(float x) { return x < -87.0f ? 0.0f : exponential(x); }

/* The mixtures' -log p(z) without its constant, summed over the dimensions of a row, into nll [rows]; and its gradient
   times `scale` by outputs [rows, 3, K, Z] into slope [rows, 3, K, Z]. z [rows, Z]; scratch holds (4K + 4) Z floats
   for each thread. With pi the mixture weights, r the responsibilities and u = (z - mean) / std, the gradients are
   pi - r, -r u / std and r (1 - u^2). */
static void mixture_row(int64_t Z, int64_t K, const real *restrict outputs, const float *restrict z, float scale,
                        float *restrict nll, real *restrict slope, float *restrict scratch) {
    const real *restrict mean = outputs + K * Z, *restrict log_std = mean + K * Z;
    real *restrict d_mean = slope + K * Z, *restrict d_log_std = d_mean + K * Z;
    float *restrict weight = scratch, *restrict share = weight + K * Z;
    float *restrict precision = share + K * Z, *restrict deviation = precision + K * Z;
    float *restrict top_weight = deviation + K * Z, *restrict top_share = top_weight + Z;
    float *restrict weights = top_share + Z, *restrict shares = weights + Z;
    for (int64_t d = 0; d < Z; d++) {
        top_weight[d] = top_share[d] = -INFINITY;
        weights[d] = shares[d] = 0.0f;
    }
    for (int64_t k = 0; k < K; k++) {
#pragma omp simd
        for (int64_t d = 0; d < Z; d++) {
            int64_t at = k * Z + d;
            float logit = load(outputs[at]), log_s = load(log_std[at]);
            precision[at] = exponential(-log_s);
            float u = (z[d] - load(mean[at])) * precision[at];
            float joint = logit - log_s - 0.5f * u * u;
            deviation[at] = u;
            weight[at] = logit;
            share[at] = joint;
            top_weight[d] = logit > top_weight[d] ? logit : top_weight[d];
            top_share[d] = joint > top_share[d] ? joint : top_share[d];
        }
    }
    for (int64_t k = 0; k < K; k++) {
#pragma omp simd
        for (int64_t d = 0; d < Z; d++) {
            int64_t at = k * Z + d;
            weight[at] = fraction(weight[at] - top_weight[d]);
            share[at] = fraction(share[at] - top_share[d]);
            weights[d] += weight[at];
            shares[d] += share[at];
        }
    }
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t d = 0; d < Z; d++) {
        sum += logarithm(weights[d] / shares[d]) + top_weight[d] - top_share[d];
        weights[d] = scale / weights[d];
        shares[d] = scale / shares[d];
    }
    *nll = sum;
    for (int64_t k = 0; k < K; k++) {
#pragma omp simd
        for (int64_t d = 0; d < Z; d++) {
            int64_t at = k * Z + d;
            float r = share[at] * shares[d], ru = r * deviation[at];
            slope[at] = store(weight[at] * weights[d] - r);
            d_mean[at] = store(-ru * precision[at]);
            d_log_std[at] = store(r - ru * deviation[at]);
        }
    }
}

void mixture(int64_t threads, int64_t rows, int64_t Z, int64_t K, const real *outputs, int64_t stride, const float *z,
             float scale, float *nll, real *slope, float *scratch) {
#pragma omp parallel for if (threads > 1) num_threads(threads)
    for (int64_t part = 0; part < threads; part++)
        for (int64_t row = rows * part / threads; row < rows * (part + 1) / threads; row++)
            mixture_row(Z, K, outputs + row * stride, z + row * Z, scale, nll + row, slope + row * 3 * K * Z,
                        scratch + part * (4 * K + 4) * Z);
}
