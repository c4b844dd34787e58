// Rows of slots: the arrays that texts lie in, and how they are closed up after merges (see trainer.h).
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <functional>
#include <new>
#include <utility>
#include <vector>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include "bpe.h"

namespace llama_gene {

// An array that grows in place where the system can do that (a vector would hold both copies), and starts uncleared.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept { swap(other); }
  Buffer& operator=(Buffer&& other) noexcept {
    swap(other);
    return *this;
  }
  ~Buffer() { std::free(data_); }

  T* data() { return data_; }
  size_t size() const { return size_; }
  T& operator[](size_t at) { return data_[at]; }

  void resize(size_t size) {
    if (size > capacity_) reallocate(std::max(size, capacity_ + capacity_ / 2));
    size_ = size;
  }
  void shrink_to_fit() { reallocate(std::max<size_t>(size_, 1)); }

 private:
  void swap(Buffer& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(capacity_, other.capacity_);
  }
  void reallocate(size_t capacity) {
    void* data = std::realloc(data_, capacity * sizeof(T));
    if (!data) throw std::bad_alloc();
    data_ = static_cast<T*>(data);
    capacity_ = capacity;
#ifdef __linux__
    // Most look-ups are far from the last one: with large pages their addresses are found faster. A request only.
    if (capacity * sizeof(T) < (1 << 22)) return;
    void* const page = reinterpret_cast<void*>(reinterpret_cast<uintptr_t>(data) & ~uintptr_t{4095});
    madvise(page, capacity * sizeof(T), MADV_HUGEPAGE);
#endif
  }

  T* data_ = nullptr;
  size_t size_ = 0, capacity_ = 0;
};

// Moves the first slots of all pieces together, given the slots of each. Returns how many they are.
//
// Where the next piece begins is known only when this one has been read. So that the processor need not wait, several
// stretches are worked on in turn; each begins at a piece of one slot.
template <class Slot>
size_t close_up(Slot* slots, size_t size, const std::vector<uint16_t>& spans, unsigned num_threads) {
  constexpr size_t kTurns = 4;
  std::vector<size_t> bounds(1 + kTurns * num_threads), ends(kTurns * num_threads);
  for (size_t number = 1; number < bounds.size(); ++number) {
    size_t at = std::max(bounds[number - 1], size / (bounds.size() - 1) * number);
    while (at < size && spans[slots[at]] != 1) ++at;
    bounds[number] = at;
  }
  bounds.back() = size;
  parallel(num_threads, [&](unsigned part) {
    size_t from[kTurns], to[kTurns];
    std::copy_n(&bounds[kTurns * part], kTurns, from);
    std::copy_n(from, kTurns, to);
    const size_t* const stop = &bounds[kTurns * part + 1];
    const auto step = [&](size_t turn) {
      const Slot piece = slots[from[turn]];
      slots[to[turn]++] = piece;
      from[turn] += spans[piece];
    };
    while (from[0] < stop[0] && from[1] < stop[1] && from[2] < stop[2] && from[3] < stop[3]) {
      for (size_t turn = 0; turn < kTurns; ++turn) step(turn);
    }
    for (size_t turn = 0; turn < kTurns; ++turn) {
      while (from[turn] < stop[turn]) step(turn);
      ends[kTurns * part + turn] = to[turn];
    }
  });
  size_t closed = 0;
  for (size_t number = 0; number < ends.size(); ++number) {
    closed = size_t(std::copy(slots + bounds[number], slots + ends[number], slots + closed) - slots);
  }
  return closed;
}

// Whether two pieces may become one.
using Allowed = std::function<bool(Id, Id)>;

}  // namespace llama_gene
