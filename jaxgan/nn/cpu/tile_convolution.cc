// 5x5 convolutions followed by a LeakyReLU on a CPU; see tile_convolution.py for what they compute.
//
// The results are divided into tiles of 4x4, each of which depends on 8x8 input values. The Toom-Cook
// algorithm (Winograd's convolution; Lavin and Gray, "Fast Algorithms for Convolutional Neural
// Networks", CVPR 2016) transforms the tile along both axes to 8 points (0, +-1, +-2, +-1/2 and
// infinity). There it needs 64 products with matrices [C_in, C_out] from the transformed kernel,
// instead of 25 products for each of the 16 results. In XLA the transforms cost as much as the products
// save, because each of their steps goes through memory; here sixteen tiles at a time stay in a core's
// cache. A vector holds the channels of one pixel. More points would need fewer products but lose
// digits: with 10 points the rounding errors exceed 5e-6 of the largest value.

#include "native.h"

namespace {

using namespace jaxgan;

constexpr int kChannels = kLanes;                   // of a vector
constexpr int kTile = 8;                            // values of a tile's input, along an axis
constexpr int kStep = 4;                            // its results
constexpr int kTaps = kTile - kStep + 1;            // of the kernel
constexpr int kPoints = kTile * kTile;              // products of a tile
constexpr int kTiles = 16;                          // side by side: a block
constexpr int kRow = kTiles + 1;                    // of them in memory: 2^n would share cache sets
constexpr int kColumns = (kTiles + 1) * kStep;      // of the block's input
constexpr int kMatrix = kChannels * kChannels;      // of a point, in the gradient of the kernel

// A batch of images [height, width, channels].
struct Shape {
  template <typename Buffer>
  explicit Shape(const Buffer& buffer)
      : height(buffer.dimensions()[1]), width(buffer.dimensions()[2]), channels(buffer.dimensions()[3]) {}

  int64_t size() const { return height * width * channels.count; }
  int64_t place(int64_t row, int64_t column) const { return (row * width + column) * channels.count; }

  int64_t height, width;
  Lanes channels;
};

// Intermediate values of one block of tiles, in the forward or backward pass.
struct Scratch {
  Vector columns[kTile][kColumns];
  Vector input[kPoints][kRow];
  Vector result[kPoints][kRow];
  Vector matrices[kPoints][kChannels];  // gradient over one row of tiles
  Vector total[kPoints][kChannels];     // gradient over all rows
  Vector bias, total_bias;
};

// The transforms along one axis. They share the terms of points that differ only in their sign.
// `stride` is the distance from one value to the next.

inline void to_points(const Vector* in, int stride, Vector* out, int out_stride) {
  Vector d[kTile];
  for (int i = 0; i < kTile; ++i) d[i] = in[i * stride];
  const Vector even1 = d[2] + d[6] - 4.25f * d[4], odd1 = d[1] + d[5] - 4.25f * d[3];
  const Vector even2 = d[6] - 1.25f * d[4] + .25f * d[2], odd2 = d[5] - 1.25f * d[3] + .25f * d[1];
  const Vector even3 = d[6] - 5.f * d[4] + 4.f * d[2], odd3 = d[5] - 5.f * d[3] + 4.f * d[1];
  out[0 * out_stride] = d[0] - d[6] + 5.25f * (d[4] - d[2]);
  out[1 * out_stride] = even1 + odd1;
  out[2 * out_stride] = even1 - odd1;
  out[3 * out_stride] = even2 + 2.f * odd2;
  out[4 * out_stride] = even2 - 2.f * odd2;
  out[5 * out_stride] = even3 + .5f * odd3;
  out[6 * out_stride] = even3 - .5f * odd3;
  out[7 * out_stride] = d[7] - d[1] + 5.25f * (d[3] - d[5]);
}

// The transpose of to_points.
inline void from_point_gradient(const Vector* in, int stride, Vector* out) {
  Vector m[kTile];
  for (int i = 0; i < kTile; ++i) m[i] = in[i * stride];
  const Vector even1 = m[1] + m[2], odd1 = m[1] - m[2];
  const Vector even2 = m[3] + m[4], odd2 = m[3] - m[4];
  const Vector even3 = m[5] + m[6], odd3 = m[5] - m[6];
  out[0] = m[0];
  out[1] = odd1 + .5f * odd2 + 2.f * odd3 - m[7];
  out[2] = even1 + .25f * even2 + 4.f * even3 - 5.25f * m[0];
  out[3] = 5.25f * m[7] - 4.25f * odd1 - 2.5f * (odd2 + odd3);
  out[4] = 5.25f * m[0] - 4.25f * even1 - 1.25f * even2 - 5.f * even3;
  out[5] = odd1 + 2.f * odd2 + .5f * odd3 - 5.25f * m[7];
  out[6] = even1 + even2 + even3 - m[0];
  out[7] = m[7];
}

inline void to_results(const Vector* in, int stride, Vector* out, int out_stride) {
  Vector m[kTile];
  for (int i = 0; i < kTile; ++i) m[i] = in[i * stride];
  const Vector even1 = m[1] + m[2], odd1 = m[1] - m[2];
  const Vector even2 = m[3] + m[4], odd2 = m[3] - m[4];
  const Vector even3 = m[5] + m[6], odd3 = m[5] - m[6];
  out[0 * out_stride] = m[0] + even1 + even2 + even3;
  out[1 * out_stride] = odd1 + 2.f * odd2 + .5f * odd3;
  out[2 * out_stride] = even1 + 4.f * even2 + .25f * even3;
  out[3 * out_stride] = m[7] + odd1 + 8.f * odd2 + .125f * odd3;
}

// The transpose of to_results.
inline void from_result_gradient(const Vector* in, int stride, Vector* out, int out_stride) {
  const Vector g0 = in[0], g1 = in[stride], g2 = in[2 * stride], g3 = in[3 * stride];
  const Vector even1 = g0 + g2, odd1 = g1 + g3;
  const Vector even2 = g0 + 4.f * g2, odd2 = 2.f * g1 + 8.f * g3;
  const Vector even3 = g0 + .25f * g2, odd3 = .5f * g1 + .125f * g3;
  out[0 * out_stride] = g0;
  out[1 * out_stride] = even1 + odd1;
  out[2 * out_stride] = even1 - odd1;
  out[3 * out_stride] = even2 + odd2;
  out[4 * out_stride] = even2 - odd2;
  out[5 * out_stride] = even3 + odd3;
  out[6 * out_stride] = even3 - odd3;
  out[7 * out_stride] = g3;
}

// Loads values[r] from r rows below `place`, for the first `rows` of Count.
template <int Count>
inline void load_column(const float* place, const Shape& shape, int rows, Vector* values) {
  const int64_t step = shape.width * shape.channels.count;
  // A loop of constant length keeps the values in registers.
  if (rows == Count)
    for (int r = 0; r < Count; ++r) values[r] = shape.channels.load(place + r * step);
  else
    for (int r = 0; r < rows; ++r) values[r] = shape.channels.load(place + r * step);
}

// Sets input[point][tile] to the transform of the tiles whose results start at (row, column).
void transform_input(const float* x, const Shape& shape, int64_t row, int64_t column, Scratch& s) {
  const int rows = static_cast<int>(std::min<int64_t>(kTile, shape.height - row));
  const int columns = static_cast<int>(std::min<int64_t>(kColumns, shape.width - column));
  for (int c = 0; c < columns; ++c) {
    Vector values[kTile] = {};
    load_column<kTile>(x + shape.place(row, column + c), shape, rows, values);
    to_points(values, 1, &s.columns[0][c], kColumns);
  }
  for (int p = 0; p < kTile; ++p) {
    std::fill(s.columns[p] + columns, s.columns[p] + kColumns, Vector{});
    for (int t = 0; t < kTiles; ++t)
      to_points(&s.columns[p][t * kStep], 1, &s.input[p * kTile][t], kRow);
  }
}

// Computes the gradient before the LeakyReLU, dy where the result is positive and slope * dy elsewhere,
// for the tiles that start at (row, column). Sets `result` to its transform and adds it to `bias`.
void transform_gradient(const float* dy, const float* y, const Shape& shape, float slope, int64_t valid_rows,
                        int64_t row, int64_t column, Scratch& s) {
  const int rows = static_cast<int>(std::min<int64_t>(kStep, valid_rows - row));
  for (int t = 0; t < kTiles; ++t, column += kStep) {
    const int columns = static_cast<int>(std::clamp<int64_t>(shape.width - column, 0, kStep));
    Vector high[kTile][kStep] = {};
    for (int c = 0; c < columns; ++c) {
      Vector gradients[kStep] = {}, results[kStep] = {};
      load_column<kStep>(dy + shape.place(row, column + c), shape, rows, gradients);
      load_column<kStep>(y + shape.place(row, column + c), shape, rows, results);
      for (int r = 0; r < kStep; ++r) {
        gradients[r] = if_negative(results[r], slope * gradients[r], gradients[r]);
        s.bias += gradients[r];
      }
      from_result_gradient(gradients, 1, &high[0][c], kStep);
    }
    for (int p = 0; p < kTile; ++p)
      from_result_gradient(high[p], 1, &s.result[p * kTile][t], kRow);
  }
}

// Sets out[t] to the sum over k of in[t][k] matrix[k], for the tiles of a block.
inline void product(const Vector* in, const float* matrix, int count, Vector* out) {
  const float* values = reinterpret_cast<const float*>(in);
  Part* results = reinterpret_cast<Part*>(out);
  for (int first = 0; first < kTiles; first += kRegisters) {
    Part sums[kRegisters][kParts] = {};
    for (int k = 0; k < count; ++k) {
      Part row[kParts];
      for (int p = 0; p < kParts; ++p)
        std::memcpy(&row[p], matrix + k * kChannels + p * kPart, sizeof row[p]);
      for (int t = 0; t < kRegisters; ++t)
        for (int p = 0; p < kParts; ++p) sums[t][p] += values[(first + t) * kChannels + k] * row[p];
    }
    for (int t = 0; t < kRegisters; ++t)
      for (int p = 0; p < kParts; ++p) results[(first + t) * kParts + p] = sums[t][p];
  }
}

// Adds the sum over t of in[t][k] out[t] to matrix[k].
template <int Count>
inline void correlate(const Vector* in, const Vector* out, Vector* matrix) {
  constexpr int kGroup = std::min(Count, kRegisters);
  const float* values = reinterpret_cast<const float*>(in);
  const Part* rows = reinterpret_cast<const Part*>(out);
  Part* results = reinterpret_cast<Part*>(matrix);
  for (int first = 0; first < Count; first += kGroup) {
    Part sums[kGroup][kParts];
    for (int k = 0; k < kGroup; ++k)
      for (int p = 0; p < kParts; ++p) sums[k][p] = results[(first + k) * kParts + p];
    for (int t = 0; t < kTiles; ++t)
      for (int k = 0; k < kGroup; ++k)
        for (int p = 0; p < kParts; ++p)
          sums[k][p] += values[t * kChannels + first + k] * rows[t * kParts + p];
    for (int k = 0; k < kGroup; ++k)
      for (int p = 0; p < kParts; ++p) results[(first + k) * kParts + p] = sums[k][p];
  }
}

inline void add_and_clear(Scratch& s) {
  for (int p = 0; p < kPoints; ++p)
    for (int k = 0; k < kChannels; ++k) {
      s.total[p][k] += s.matrices[p][k];
      s.matrices[p][k] = Vector{};
    }
  s.total_bias += s.bias;
  s.bias = Vector{};
}

template <typename Work>
void for_blocks(int64_t rows, int64_t columns, const Work& work) {
  for (int64_t row = 0; row < rows; row += kStep)
    for (int64_t column = 0; column < columns; column += kTiles * kStep) work(row, column);
}

// Calls work(number, scratch) for every image. No sum extends over images, so the results do not
// depend on which thread processes which image.
template <typename Work>
void for_images(ffi::ThreadPool& pool, int64_t count, const Work& work) {
  for_each(pool, count, [&](int64_t number) {
    auto scratch = std::make_unique<Scratch>();
    work(number, *scratch);
  });
}

// Returns the number of rows to compute in an image's result.
int64_t rows_of(const Integers& valid_rows, int64_t image, const Shape& shape) {
  return std::clamp<int64_t>(valid_rows.typed_data()[image], 0, shape.height);
}

ffi::Error forward(ffi::ThreadPool pool, Array x, Integers valid_rows, Array matrices, Array bias,
                   Result y, float slope) {
  const Shape from(x), to(*y);
  const Vector biases = to.channels.load(bias.typed_data());
  for_images(pool, x.dimensions()[0], [&](int64_t image, Scratch& s) {
    const int64_t rows = rows_of(valid_rows, image, to);
    const float* input = x.typed_data() + image * from.size();
    float* result = y->typed_data() + image * to.size();
    for_blocks(rows, to.width, [&](int64_t row, int64_t column) {
      transform_input(input, from, row, column, s);
      const int size = from.channels.count;
      for (int p = 0; p < kPoints; ++p)
        product(s.input[p], matrices.typed_data() + p * size * kChannels, size, s.result[p]);
      const int high = static_cast<int>(std::min<int64_t>(kStep, to.height - row));
      for (int t = 0; t < kTiles && column < to.width; ++t, column += kStep) {
        const int wide = static_cast<int>(std::min<int64_t>(kStep, to.width - column));
        Vector part[kStep][kTile];
        for (int q = 0; q < kTile; ++q)
          to_results(&s.result[q][t], kTile * kRow, &part[0][q], kTile);
        for (int r = 0; r < high; ++r) {
          Vector sums[kStep];
          to_results(part[r], 1, sums, 1);
          for (int c = 0; c < wide; ++c) {
            const Vector sum = sums[c] + biases;
            to.channels.store(result + to.place(row + r, column + c), if_negative(sum, slope * sum, sum));
          }
        }
      }
    });
    const int64_t computed = std::min(to.height, (rows + kStep - 1) / kStep * kStep);
    std::fill(result + to.place(computed, 0), result + to.size(), 0.f);
  });
  return ffi::Error::Success();
}

// Adds the gradient of the tiles' inputs, which start at (row, column), to dx.
void add_input_gradient(const Shape& shape, int64_t row, int64_t column, Scratch& s, float* dx) {
  for (int p = 0; p < kTile; ++p) {
    std::fill(s.columns[p], s.columns[p] + kColumns, Vector{});
    for (int t = 0; t < kTiles; ++t) {
      Vector part[kTile];
      from_point_gradient(&s.input[p * kTile][t], kRow, part);
      for (int c = 0; c < kTile; ++c) s.columns[p][t * kStep + c] += part[c];
    }
  }
  const int high = static_cast<int>(std::min<int64_t>(kTile, shape.height - row));
  const int wide = static_cast<int>(std::min<int64_t>(kColumns, shape.width - column));
  for (int c = 0; c < wide; ++c) {
    Vector part[kTile];
    from_point_gradient(&s.columns[0][c], kColumns, part);
    for (int r = 0; r < high; ++r) {
      float* place = dx + shape.place(row + r, column + c);
      shape.channels.store(place, shape.channels.load(place) + part[r]);
    }
  }
}

// Computes the gradients of one image: dx, dmatrices and dbias, where they are not null.
void image_gradients(const float* x, const float* dy, const float* y, int64_t valid_rows, const float* matrices,
                     float slope, const Shape& from, const Shape& to, float* dx, float* dmatrices,
                     float* dbias, Scratch& s) {
  std::memset(s.total, 0, sizeof s.total);
  s.total_bias = Vector{};
  int64_t cleared = 0;  // rows of dx
  const auto clear_until = [&](int64_t row) {
    std::fill(dx + from.place(cleared, 0), dx + from.place(row, 0), 0.f);
    cleared = row;
  };
  for_blocks(valid_rows, to.width, [&](int64_t row, int64_t column) {
    // Partial sums for each row of tiles round less than one long sum.
    if (column == 0) add_and_clear(s);
    if (column == 0 && dx) clear_until(std::min(row + kTile, from.height));
    transform_gradient(dy, y, to, slope, valid_rows, row, column, s);
    if (dmatrices) {
      transform_input(x, from, row, column, s);
      for (int p = 0; p < kPoints; ++p)
        if (from.channels.count <= 2)
          correlate<2>(s.input[p], s.result[p], s.matrices[p]);
        else
          correlate<kChannels>(s.input[p], s.result[p], s.matrices[p]);
    }
    if (dx) {
      const int size = to.channels.count;
      for (int p = 0; p < kPoints; ++p)
        product(s.result[p], matrices + p * size * kChannels, size, s.input[p]);
      add_input_gradient(from, row, column, s, dx);
    }
  });
  if (dx) clear_until(from.height);
  if (!dmatrices) return;
  add_and_clear(s);
  const int size = from.channels.count;
  for (int p = 0; p < kPoints; ++p)
    std::memcpy(dmatrices + p * size * kChannels, s.total[p], size * sizeof(Vector));
  to.channels.store(dbias, s.total_bias);
}

ffi::Error gradients(ffi::ThreadPool pool, Array x, Array dy, Array y, Integers valid_rows, Array matrices,
                     Result dx, Result dmatrices, Result dbias, float slope) {
  const Shape from(x), to(dy);
  for_images(pool, x.dimensions()[0], [&](int64_t image, Scratch& s) {
    const int64_t input = image * from.size(), output = image * to.size();
    image_gradients(x.typed_data() + input, dy.typed_data() + output, y.typed_data() + output,
                    rows_of(valid_rows, image, to), matrices.typed_data(), slope, from, to,
                    dx->typed_data() + input,
                    dmatrices->typed_data() + image * kPoints * from.channels.count * kChannels,
                    dbias->typed_data() + image * to.channels.count, s);
  });
  return ffi::Error::Success();
}

ffi::Error input_gradient(ffi::ThreadPool pool, Array dy, Array y, Integers valid_rows, Array matrices,
                          Result dx, float slope) {
  const Shape from(*dx), to(dy);
  for_images(pool, dy.dimensions()[0], [&](int64_t image, Scratch& s) {
    const int64_t input = image * from.size(), output = image * to.size();
    image_gradients(nullptr, dy.typed_data() + output, y.typed_data() + output,
                    rows_of(valid_rows, image, to), matrices.typed_data(), slope, from, to,
                    dx->typed_data() + input, nullptr, nullptr, s);
  });
  return ffi::Error::Success();
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(ConvolutionForward, forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()     // x
                                  .Arg<Integers>()  // valid_rows
                                  .Arg<Array>()     // matrices
                                  .Arg<Array>()     // bias
                                  .Ret<Array>()     // y
                                  .Attr<float>("slope"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(ConvolutionGradients, gradients,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()     // x
                                  .Arg<Array>()     // dy
                                  .Arg<Array>()     // y
                                  .Arg<Integers>()  // valid_rows
                                  .Arg<Array>()     // matrices, transposed
                                  .Ret<Array>()     // dx
                                  .Ret<Array>()     // dmatrices
                                  .Ret<Array>()     // dbias
                                  .Attr<float>("slope"));
XLA_FFI_DEFINE_HANDLER_SYMBOL(ConvolutionInputGradient, input_gradient,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()     // dy
                                  .Arg<Array>()     // y
                                  .Arg<Integers>()  // valid_rows
                                  .Arg<Array>()     // matrices, transposed
                                  .Ret<Array>()     // dx
                                  .Attr<float>("slope"));
