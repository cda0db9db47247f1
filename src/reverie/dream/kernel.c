/* What a dream computes between two matrix products, each in one pass over memory.

   Plain loops that a C compiler turns into vector instructions; compiled with and without BF16. Matrices are row-major;
   sums, c and z are float. */

#include "arithmetic.h"

/* The LSTM cell: gates [rows, 4H] in the order i, f, g, o, bias [4H], c [rows, H] replaced, h [rows, H] written. */
void cell(int64_t rows, int64_t H, const real *restrict gates, const float *restrict bias, float *restrict c,
          real *restrict h, int64_t h_stride) {
    for (int64_t row = 0; row < rows; row++, gates += 4 * H, c += H, h += h_stride)
        for (int64_t k = 0; k < H; k++) {
            float i = sigmoid(load(gates[k]) + bias[k]);
            float f = sigmoid(load(gates[H + k]) + bias[H + k]);
            float g = tangent(load(gates[2 * H + k]) + bias[2 * H + k]);
            float o = sigmoid(load(gates[3 * H + k]) + bias[3 * H + k]);
            c[k] = f * c[k] + i * g;
            h[k] = store(o * tangent(c[k]));
        }
}

/* Draw z from M's outputs [rows, 3, K, Z] (+ bias): a component by inverse CDF of softmax(logits / tau), then
   mean + exp(log_std) * root_tau * noise. uniform and noise [episodes, Z] are shared by all rows of an episode.
   z is written as float and as what M reads next; scratch holds (K + 2) * Z floats. */
void sample(int64_t rows, int64_t Z, int64_t K, const real *restrict outputs, int64_t output_stride,
            const float *restrict bias, float inverse_tau, float root_tau, const int64_t *restrict episode,
            const float *restrict uniform, const float *restrict noise, float *restrict z, real *restrict x,
            int64_t x_stride, float *restrict scratch) {
    float *restrict weight = scratch, *restrict top = scratch + K * Z, *restrict total = top + Z;
    for (int64_t row = 0; row < rows; row++, outputs += output_stride, z += Z, x += x_stride) {
        const real *restrict mean = outputs + K * Z, *restrict log_std = mean + K * Z;
        const float *restrict mean_bias = bias + K * Z, *restrict log_std_bias = mean_bias + K * Z;
        const float *restrict u = uniform + episode[row] * Z, *restrict e = noise + episode[row] * Z;
        for (int64_t d = 0; d < Z; d++) {
            top[d] = -3e38f;
            total[d] = 0.0f;
        }
        for (int64_t k = 0; k < K; k++)
            for (int64_t d = 0; d < Z; d++) {
                float logit = (load(outputs[k * Z + d]) + bias[k * Z + d]) * inverse_tau;
                weight[k * Z + d] = logit;
                top[d] = logit > top[d] ? logit : top[d];
            }
        for (int64_t k = 0; k < K; k++)
            for (int64_t d = 0; d < Z; d++) {
                weight[k * Z + d] = exponential(weight[k * Z + d] - top[d]);
                total[d] += weight[k * Z + d];
            }
        /* `top` is done with: it now holds what is left of u * total, and `total` the chosen log_std. */
        for (int64_t d = 0; d < Z; d++) {
            top[d] = u[d] * total[d];
            z[d] = load(mean[d]) + mean_bias[d];
            total[d] = load(log_std[d]) + log_std_bias[d];
        }
        for (int64_t k = 1; k < K; k++)
            for (int64_t d = 0; d < Z; d++) {
                float next_mean = load(mean[k * Z + d]) + mean_bias[k * Z + d];
                float next_log_std = load(log_std[k * Z + d]) + log_std_bias[k * Z + d];
                top[d] -= weight[(k - 1) * Z + d];
                z[d] = top[d] >= 0.0f ? next_mean : z[d];
                total[d] = top[d] >= 0.0f ? next_log_std : total[d];
            }
        for (int64_t d = 0; d < Z; d++) {
            z[d] += exponential(total[d]) * root_tau * e[d];
            x[d] = store(z[d]);
        }
    }
}

static inline float dot(int64_t n, const float *restrict a, const float *restrict b) {
    float sum = 0.0f;
#pragma omp simd reduction(+ : sum)
    for (int64_t k = 0; k < n; k++) sum += a[k] * b[k];
    return sum;
}

/* C's linear layer on [z, h], or on [z, c, h] where c is given: outputs [rows, A] of the candidates' weights
   [candidates, A, Z + H or Z + 2H]. */
void linear(int64_t rows, int64_t Z, int64_t H, int64_t A, const float *restrict weights,
            const int64_t *restrict candidate, const float *restrict z, const float *restrict c,
            const real *restrict h, int64_t h_stride, float *restrict outputs) {
    int64_t features = Z + (c ? 2 : 1) * H;
    for (int64_t row = 0; row < rows; row++, h += h_stride)
        for (int64_t a = 0; a < A; a++) {
            const float *restrict w = weights + (candidate[row] * A + a) * features;
            float sum = dot(Z, w, z + row * Z);
            if (c) sum += dot(H, w + Z, c + row * H);
            w += features - H;
#pragma omp simd reduction(+ : sum)
            for (int64_t k = 0; k < H; k++) sum += w[k] * load(h[k]);
            outputs[row * A + a] = sum;
        }
}
