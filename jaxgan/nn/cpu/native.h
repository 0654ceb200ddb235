// Vectors of 16 floats and a parallel loop, shared by the C++ kernels.

#ifndef JAXGAN_NN_CPU_NATIVE_H_
#define JAXGAN_NN_CPU_NATIVE_H_

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>

#ifdef __AVX__
#include <immintrin.h>
#endif

#include "xla/ffi/api/ffi.h"

namespace jaxgan {

namespace ffi = xla::ffi;

using Array = ffi::Buffer<ffi::F32>;
using Integers = ffi::Buffer<ffi::S32>;
using Result = ffi::Result<Array>;

constexpr int kLanes = 16;

// A vector of sixteen floats takes kParts registers. kRegisters is the number of vectors that stay in
// registers next to the operands they are computed from.
#if defined(__AVX512F__)
constexpr int kParts = 1, kRegisters = 16;
#elif defined(__AVX__)
constexpr int kParts = 2, kRegisters = 4;
#elif defined(__ARM_NEON)
constexpr int kParts = 4, kRegisters = 4;
#else
constexpr int kParts = 4, kRegisters = 2;
#endif
constexpr int kPart = kLanes / kParts;  // floats

typedef float Part __attribute__((vector_size(kPart * sizeof(float)), may_alias));

#ifdef __AVX512F__
typedef Part Vector;
inline Vector if_negative(Vector x, Vector then, Vector otherwise) { return x < 0.f ? then : otherwise; }
#else
// Compilers generate poor code for vector types wider than a register.
struct Vector {
  Part part[kParts];

  // Builds a vector whose part p is of(p).
  template <typename Of>
  static Vector from(const Of& of) {
    Vector vector;
    for (int p = 0; p < kParts; ++p) vector.part[p] = of(p);
    return vector;
  }
  Vector& operator+=(const Vector& y) {
    for (int p = 0; p < kParts; ++p) part[p] += y.part[p];
    return *this;
  }
};
using Const = const Vector&;
inline Vector operator+(Const x, Const y) { return Vector::from([&](int p) { return x.part[p] + y.part[p]; }); }
inline Vector operator-(Const x, Const y) { return Vector::from([&](int p) { return x.part[p] - y.part[p]; }); }
inline Vector operator*(Const x, Const y) { return Vector::from([&](int p) { return x.part[p] * y.part[p]; }); }
inline Vector operator*(float x, Const y) { return Vector::from([&](int p) { return x * y.part[p]; }); }
inline Vector operator+(float x, Const y) { return Vector::from([&](int p) { return x + y.part[p]; }); }
inline Vector operator-(float x, Const y) { return Vector::from([&](int p) { return x - y.part[p]; }); }
inline Vector if_negative(Const x, Const then, Const otherwise) {
  return Vector::from([&](int p) { return x.part[p] < 0.f ? then.part[p] : otherwise.part[p]; });
}
#endif

// Loads and stores the first `count` lanes of a vector, at most 16; the other lanes are zero.
#ifdef __AVX512F__
struct Lanes {
  explicit Lanes(int64_t count) : count(static_cast<int>(count)), mask((1u << count) - 1) {}

  Vector load(const float* place) const { return (Vector)_mm512_maskz_loadu_ps(mask, place); }
  void store(float* place, Vector vector) const { _mm512_mask_storeu_ps(place, mask, (__m512)vector); }

  int count;
  uint16_t mask;
};
#else
struct Lanes {
  explicit Lanes(int64_t count) : count(static_cast<int>(count)) {}

  Vector load(const float* place) const {
    return Vector::from([&](int p) { return part(place + p * kPart, count - p * kPart); });
  }

  void store(float* place, const Vector& vector) const {
    for (int p = 0; p < kParts; ++p) put(place + p * kPart, vector.part[p], count - p * kPart);
  }

  int count;

 private:
  static Part part(const float* place, int count) {
    Part part = {};
    if (count >= kPart) {
      std::memcpy(&part, place, sizeof part);
    } else if (count > 0) {
#ifdef __AVX__
      typedef int Ints __attribute__((vector_size(sizeof(Part))));
      part = (Part)_mm256_maskload_ps(place, (__m256i)(Ints{0, 1, 2, 3, 4, 5, 6, 7} < count));
#else
      pieces(place, reinterpret_cast<float*>(&part), count);
#endif
    }
    return part;
  }

  static void put(float* place, Part part, int count) {
    if (count >= kPart)
      std::memcpy(place, &part, sizeof part);
    else if (count > 0)
      pieces(reinterpret_cast<const float*>(&part), place, count);
  }

  // A memcpy of unknown length would compile to a call, for only a few bytes.
  static void pieces(const float* from, float* to, int count) {
    if (count & 4) std::memcpy(to, from, 16);
    if (count & 2) std::memcpy(to + (count & 4), from + (count & 4), 8);
    if (count & 1) to[count - 1] = from[count - 1];
  }
};
#endif

// Calls work(number) for every number below `count`, on this thread and on idle threads of XLA's pool.
template <typename Work>
void for_each(ffi::ThreadPool& pool, int64_t count, const Work& work) {
  struct Shared {
    std::atomic<int64_t> next{0};
    int64_t done = 0;
    std::mutex mutex;
    std::condition_variable all_done;
  };
  auto shared = std::make_shared<Shared>();
  // A task that starts late finds no number left; by then `work` may no longer exist.
  auto task = [shared, count, &work] {
    int64_t number = shared->next++;
    if (number >= count) return;
    int64_t done = 0;
    for (; number < count; number = shared->next++, ++done) work(number);
    std::lock_guard<std::mutex> lock(shared->mutex);
    shared->done += done;
    if (shared->done == count) shared->all_done.notify_all();
  };
  const int64_t helpers = std::min(count, pool.num_threads()) - 1;
  for (int64_t i = 0; i < helpers; ++i) pool.Schedule(decltype(task)(task));
  task();
  std::unique_lock<std::mutex> lock(shared->mutex);
  shared->all_done.wait(lock, [&] { return shared->done == count; });
}

}  // namespace jaxgan

#endif  // JAXGAN_NN_CPU_NATIVE_H_
