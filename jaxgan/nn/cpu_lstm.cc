// The recurrence of a bidirectional LSTM for a CPU; cpu_lstm.py says what it computes.
//
// A step of a few rows reads the whole recurrent kernel. In XLA's loop every product brings it into
// an order of its own again; here that is done once a call, one direction after the other, so that
// it stays in the core's cache, and what follows a product is computed while its sums are there.

#include "native.h"

namespace {

using namespace jaxgan;

constexpr int kRows = 4;  // that share a reading of the kernel

constexpr int64_t vectors(int64_t count) { return (count + kLanes - 1) / kLanes; }

// A matrix [height, width] in panels of some vectors beside each other, rows of a panel in a row.
class Panels {
 public:
  // from(k, j) is the matrix's value.
  template <typename From>
  Panels(int64_t height, int64_t width, const From& from) : height_(height) {
    // Sums of all rows have to fit into the registers.
#ifdef __AVX512F__
    wide_ = 7;
    for (int wide : {6, 5, 4})
      if (padded(width, wide) < padded(width, wide_)) wide_ = wide;
#else
    wide_ = 1;
#endif
    panels_ = (vectors(width) + wide_ - 1) / wide_;
    values_ = std::make_unique<Aligned[]>(panels_ * height * wide_ * kParts);
    float* value = reinterpret_cast<float*>(values_.get());
    for (int64_t panel = 0; panel < panels_; ++panel)
      for (int64_t k = 0; k < height; ++k)
        for (int64_t j = panel * wide_ * kLanes; j < (panel + 1) * wide_ * kLanes; ++j)
          *value++ = j < width ? from(k, j) : 0.f;
  }

  // Floats of a row of the product.
  int64_t width() const { return panels_ * wide_ * kLanes; }

  // out [rows, width()] = left [rows, height] matrix.
  void product(const float* left, int rows, float* out) const {
    switch (wide_) {
      case 1: return by_rows<1>(left, rows, out);
      case 4: return by_rows<4>(left, rows, out);
      case 5: return by_rows<5>(left, rows, out);
      case 6: return by_rows<6>(left, rows, out);
      default: return by_rows<7>(left, rows, out);
    }
  }

 private:
  struct Aligned {
    Part part;
  };

  static int64_t padded(int64_t width, int wide) { return (vectors(width) + wide - 1) / wide * wide; }

  template <int Wide>
  void by_rows(const float* left, int rows, float* out) const {
    switch (rows) {
      case 1: return by_panel<Wide, 1>(left, out);
      case 2: return by_panel<Wide, 2>(left, out);
      case 3: return by_panel<Wide, 3>(left, out);
      default: return by_panel<Wide, kRows>(left, out);
    }
  }

  template <int Wide, int Rows>
  void by_panel(const float* left, float* out) const {
    constexpr int kWide = Wide * kParts;
    const Aligned* values = values_.get();
    for (int64_t panel = 0; panel < panels_; ++panel, values += height_ * kWide) {
      Part sums[Rows][kWide] = {};
      for (int64_t k = 0; k < height_; ++k)
        for (int p = 0; p < kWide; ++p) {
          const Part value = values[k * kWide + p].part;
          for (int r = 0; r < Rows; ++r) sums[r][p] += left[r * height_ + k] * value;
        }
      for (int r = 0; r < Rows; ++r)
        for (int p = 0; p < kWide; ++p)
          std::memcpy(out + r * width() + (panel * kWide + p) * kPart, &sums[r][p], sizeof(Part));
    }
  }

  int64_t height_, panels_;
  int wide_;
  std::unique_ptr<Aligned[]> values_;
};

// 1 / (1 + exp(-x)), to 1e-7 of 1.
template <typename Floats>
inline Floats lanes_sigmoid(Floats x) {
  x = x < -87.f ? Floats{} - 87.f : x;
  x = x > 87.f ? Floats{} + 87.f : x;
  // exp(-x) = 2^n exp(rest). Adding 1.5 * 2^23 rounds to n, which the lowest bits then hold.
  const Floats shifted = x * -1.44269504088896341f + 12582912.f;
  const Floats n = shifted - 12582912.f;
  // log 2 in two parts, of which the first has so few bits that its product is exact.
  const Floats rest = n * 2.12194440054690583e-4f - (x + n * .693359375f);
  Floats sum = 1.f + rest * (1.f / 7.f);
  for (const float divisor : {6.f, 5.f, 4.f, 3.f, 2.f}) sum = 1.f + rest * sum * (1.f / divisor);
  sum = 1.f + rest * sum;
  const auto exponent = ((decltype(x < x))shifted - 0x4b400000 + 127) << 23;
  return 1.f / (1.f + sum * (Floats)exponent);
}

inline Vector sigmoid(const Vector& x) {
#ifdef __AVX512F__
  return lanes_sigmoid(x);
#else
  return Vector::from([&](int p) { return lanes_sigmoid(x.part[p]); });
#endif
}

inline Vector tanh(const Vector& x) { return -1.f + 2.f * sigmoid(2.f * x); }

// Some rows of one direction.
struct Group {
  Group(int64_t number, const Integers& lengths, const Array& kernel, int64_t batch, int64_t steps)
      : direction(number % 2), first(number / 2 * kRows), steps(steps), width(kernel.dimensions()[1]) {
    rows = static_cast<int>(std::min<int64_t>(kRows, batch - first));
    longest = 0;
    for (int r = 0; r < rows; ++r) {
      length[r] = std::clamp<int64_t>(lengths.typed_data()[first + r], 0, steps);
      longest = std::max(longest, length[r]);
    }
    matrix = kernel.typed_data() + direction * width * 4 * width;
  }

  // Of an array [B, T, 2, size], row and step of this group. The backward direction begins at a
  // row's last step.
  int64_t place(int r, int64_t step, int64_t size) const {
    return place_at(r, direction ? length[r] - 1 - step : step, size);
  }

  // work(place, lanes) for the hidden units, a vector at a time.
  template <typename Work>
  void for_units(const Work& work) const {
    for (int64_t unit = 0; unit < width; unit += kLanes)
      work(unit, Lanes(std::min<int64_t>(kLanes, width - unit)));
  }

  void clear_padding(float* array, int64_t size) const {
    for (int r = 0; r < rows; ++r)
      for (int64_t time = length[r]; time < steps; ++time)
        std::fill_n(array + place_at(r, time, size), size, 0.f);
  }

  int64_t place_at(int r, int64_t time, int64_t size) const {
    return (((first + r) * steps + time) * 2 + direction) * size;
  }

  int direction, rows;
  int64_t first, steps, width, longest;
  int64_t length[kRows];
  const float* matrix;
};

std::unique_ptr<float[]> zeros(int64_t count) { return std::make_unique<float[]>(count); }

// Gates and cells are kept where they are given.
void advance(const Group& group, const float* inputs, float* hiddens, float* gates, float* cells) {
  const int64_t width = group.width;
  const Panels kernel(width, 4 * width, [&](int64_t k, int64_t j) { return group.matrix[k * 4 * width + j]; });
  const auto sums = zeros(kRows * kernel.width()), hidden = zeros(kRows * width), cell = zeros(kRows * width);
  for (int64_t step = 0; step < group.longest; ++step) {
    kernel.product(hidden.get(), group.rows, sums.get());
    for (int r = 0; r < group.rows; ++r) {
      if (step >= group.length[r]) continue;
      const float* input = inputs + group.place(r, step, 4 * width);
      const float* sum = sums.get() + r * kernel.width();
      float* kept = gates ? gates + group.place(r, step, 4 * width) : nullptr;
      const int64_t place = group.place(r, step, width);
      group.for_units([&](int64_t unit, Lanes lanes) {
        const auto total = [&](int64_t gate) {
          const int64_t at = gate * width + unit;
          return lanes.load(input + at) + lanes.load(sum + at);
        };
        const Vector i = sigmoid(total(0)), f = sigmoid(total(1));
        const Vector g = tanh(total(2)), o = sigmoid(total(3));
        const Vector c = f * lanes.load(&cell[r * width + unit]) + i * g;
        const Vector h = o * tanh(c);
        lanes.store(&cell[r * width + unit], c);
        lanes.store(&hidden[r * width + unit], h);
        lanes.store(hiddens + place + unit, h);
        if (!kept) return;
        lanes.store(cells + place + unit, c);
        const Vector activated[] = {i, f, g, o};
        for (int which = 0; which < 4; ++which) lanes.store(kept + which * width + unit, activated[which]);
      });
    }
  }
  group.clear_padding(hiddens, width);
  if (!gates) return;
  group.clear_padding(cells, width);
  group.clear_padding(gates, 4 * width);
}

void retreat(const Group& group, const float* dhiddens, const float* gates, const float* cells, float* dinputs) {
  const int64_t width = group.width;
  const Panels kernel(4 * width, width, [&](int64_t k, int64_t j) { return group.matrix[j * 4 * width + k]; });
  const auto dhidden = zeros(kRows * kernel.width()), dcell = zeros(kRows * width);
  const auto dgates = zeros(kRows * 4 * width);
  for (int64_t step = group.longest - 1; step >= 0; --step) {
    for (int r = 0; r < group.rows; ++r) {
      if (step >= group.length[r]) continue;
      const int64_t place = group.place(r, step, width);
      const float* gate = gates + group.place(r, step, 4 * width);
      const float* previous = step ? cells + group.place(r, step - 1, width) : nullptr;
      float* result = dinputs + group.place(r, step, 4 * width);
      group.for_units([&](int64_t unit, Lanes lanes) {
        const auto value = [&](int64_t which) { return lanes.load(gate + which * width + unit); };
        const Vector i = value(0), f = value(1), g = value(2), o = value(3);
        const Vector squashed = tanh(lanes.load(cells + place + unit));
        const Vector before = previous ? lanes.load(previous + unit) : Vector{};
        const Vector dh = lanes.load(&dhidden[r * kernel.width() + unit]) + lanes.load(dhiddens + place + unit);
        const Vector dc = lanes.load(&dcell[r * width + unit]) + dh * o * (1.f - squashed * squashed);
        lanes.store(&dcell[r * width + unit], dc * f);
        const Vector parts[] = {dc * g * i * (1.f - i), dc * before * f * (1.f - f), dc * i * (1.f - g * g),
                                dh * squashed * o * (1.f - o)};
        for (int which = 0; which < 4; ++which) {
          lanes.store(result + which * width + unit, parts[which]);
          lanes.store(&dgates[(r * 4 + which) * width + unit], parts[which]);
        }
      });
    }
    kernel.product(dgates.get(), group.rows, dhidden.get());
  }
  group.clear_padding(dinputs, 4 * width);
}

// work(group) for both directions of all rows.
template <typename Work>
ffi::Error for_groups(ffi::ThreadPool& pool, const Integers& lengths, const Array& kernel, const Array& array,
                     const Work& work) {
  const int64_t batch = array.dimensions()[0], steps = array.dimensions()[1];
  for_each(pool, 2 * ((batch + kRows - 1) / kRows), [&](int64_t number) {
    work(Group(number, lengths, kernel, batch, steps));
  });
  return ffi::Error::Success();
}

ffi::Error forward(ffi::ThreadPool pool, Array inputs, Integers lengths, Array kernel, Result hiddens) {
  return for_groups(pool, lengths, kernel, inputs, [&](const Group& group) {
    advance(group, inputs.typed_data(), hiddens->typed_data(), nullptr, nullptr);
  });
}

ffi::Error forward_kept(ffi::ThreadPool pool, Array inputs, Integers lengths, Array kernel, Result hiddens,
                        Result gates, Result cells) {
  return for_groups(pool, lengths, kernel, inputs, [&](const Group& group) {
    advance(group, inputs.typed_data(), hiddens->typed_data(), gates->typed_data(), cells->typed_data());
  });
}

ffi::Error backward(ffi::ThreadPool pool, Array dhiddens, Array gates, Array cells, Integers lengths,
                    Array kernel, Result dinputs) {
  return for_groups(pool, lengths, kernel, gates, [&](const Group& group) {
    retreat(group, dhiddens.typed_data(), gates.typed_data(), cells.typed_data(), dinputs->typed_data());
  });
}

}  // namespace

XLA_FFI_DEFINE_HANDLER_SYMBOL(LstmForward, forward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()      // inputs
                                  .Arg<Integers>()   // lengths
                                  .Arg<Array>()      // kernel
                                  .Ret<Array>());    // hiddens
XLA_FFI_DEFINE_HANDLER_SYMBOL(LstmForwardKept, forward_kept,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()      // inputs
                                  .Arg<Integers>()   // lengths
                                  .Arg<Array>()      // kernel
                                  .Ret<Array>()      // hiddens
                                  .Ret<Array>()      // gates
                                  .Ret<Array>());    // cells
XLA_FFI_DEFINE_HANDLER_SYMBOL(LstmBackward, backward,
                              ffi::Ffi::Bind()
                                  .Ctx<ffi::ThreadPool>()
                                  .Arg<Array>()      // gradient of hiddens
                                  .Arg<Array>()      // gates
                                  .Arg<Array>()      // cells
                                  .Arg<Integers>()   // lengths
                                  .Arg<Array>()      // kernel
                                  .Ret<Array>());    // gradient of inputs
