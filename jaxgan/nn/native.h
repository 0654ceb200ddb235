// What the functions in C++ share.

#ifndef JAXGAN_NN_NATIVE_H_
#define JAXGAN_NN_NATIVE_H_

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

// Sixteen floats, and how many of them stay in registers beside what they are computed from.
#ifdef __AVX512F__
constexpr int kRegisters = 16;
constexpr int kParts = 1;
typedef float Vector __attribute__((vector_size(kLanes * sizeof(float)), may_alias));
typedef Vector Part;
inline Vector negative(Vector x, Vector then, Vector otherwise) { return x < 0.f ? then : otherwise; }
#else
// Compilers make poor code of vectors that no register holds.
constexpr int kRegisters = 4;
constexpr int kParts = 2;
typedef float Half __attribute__((vector_size(kLanes / 2 * sizeof(float)), may_alias));
typedef Half Part;
struct Vector {
  Half low, high;
  Vector& operator+=(Vector y) { return low += y.low, high += y.high, *this; }
};
inline Vector operator-(Vector x) { return {-x.low, -x.high}; }
inline Vector operator+(Vector x, Vector y) { return {x.low + y.low, x.high + y.high}; }
inline Vector operator-(Vector x, Vector y) { return {x.low - y.low, x.high - y.high}; }
inline Vector operator*(Vector x, Vector y) { return {x.low * y.low, x.high * y.high}; }
inline Vector operator*(float x, Vector y) { return {x * y.low, x * y.high}; }
inline Vector operator+(float x, Vector y) { return {x + y.low, x + y.high}; }
inline Vector operator-(float x, Vector y) { return {x - y.low, x - y.high}; }
inline Vector negative(Vector x, Vector then, Vector otherwise) {
  return {x.low < 0.f ? then.low : otherwise.low, x.high < 0.f ? then.high : otherwise.high};
}
#endif

// The first `count` lanes of a vector, at most 16, as memory holds them; the others are zero.
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
    return {part(place, count), part(place + kLanes / 2, count - kLanes / 2)};
  }

  void store(float* place, Vector vector) const {
    put(place, vector.low, count);
    put(place + kLanes / 2, vector.high, count - kLanes / 2);
  }

  int count;

 private:
  // A copy of a length that is not known would be a call, for a few bytes.
  static Half part(const float* place, int count) {
    Half half = {};
    if (count >= kLanes / 2) {
      std::memcpy(&half, place, sizeof half);
    } else {
#ifdef __AVX__
      typedef int Ints __attribute__((vector_size(32)));
      const Ints mask = Ints{0, 1, 2, 3, 4, 5, 6, 7} < count;
      half = (Half)_mm256_maskload_ps(place, (__m256i)mask);
#else
      pieces(place, reinterpret_cast<float*>(&half), count);
#endif
    }
    return half;
  }

  static void put(float* place, Half half, int count) {
    if (count >= kLanes / 2)
      std::memcpy(place, &half, sizeof half);
    else
      pieces(reinterpret_cast<const float*>(&half), place, count);
  }

  static void pieces(const float* from, float* to, int count) {
    if (count <= 0) return;
    if (count & 4) std::memcpy(to, from, 16);
    if (count & 2) std::memcpy(to + (count & 4), from + (count & 4), 8);
    if (count & 1) to[count - 1] = from[count - 1];
  }
};
#endif

// work(number) for every number below `count`, by this thread and by those of XLA that are free.
template <typename Work>
void for_each(ffi::ThreadPool& pool, int64_t count, const Work& work) {
  struct Shared {
    std::atomic<int64_t> next{0};
    int64_t done = 0;
    std::mutex mutex;
    std::condition_variable all_done;
  };
  auto shared = std::make_shared<Shared>();
  // A task that begins late finds nothing left, and then `work` may be gone.
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

#endif  // JAXGAN_NN_NATIVE_H_
