// Byte-pair encoding over sequence letters: what learning and applying pieces have in common.
//
// A piece is a letter (ids 0 .. num_letters-1) or what a merge makes of two earlier pieces (merge k makes the piece
// num_letters + k). A lower id is an older piece. To encode is to apply, again and again, the oldest merge that fits
// anywhere, leftmost first.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <type_traits>
#include <vector>

namespace llama_gene {

using Id = uint16_t;

constexpr Id kNoPiece = 0xFFFF;
constexpr size_t kMaxPieces = 65000;  // ids have 16 bits, and some are kept for marks

// No piece has this many letters: it could come from nothing but one letter or one motif, repeated for tens of thousands
// of letters.
constexpr uint64_t kMaxPieceLetters = 1 << 16;

struct Merge {
  Id left, right;
};

// A map from pairs (of pieces, or of a number and a piece): open addressing, linear probing, no removal. Most questions
// are about pairs that are not there; a filter of a few bits a pair answers those from the fastest memory.
template <class Value, class Left = Id>
class PairMap {
 public:
  PairMap() { reset(1 << 10); }

  const Value* find(Left left, Id right) const {
    const Key key = key_of(left, right);
    const uint64_t hash = hash_of(key);
    if (!(filter_[filter_place(hash) / 64] >> filter_place(hash) % 64 & 1)) return nullptr;
    for (size_t at = hash & mask_;; at = (at + 1) & mask_) {
      if (slots_[at].key == key) return &slots_[at].value;
      if (slots_[at].key == kEmpty) return nullptr;
    }
  }

  // The value of a pair, made (zero) where there is none.
  Value& operator()(Left left, Id right) {
    if (2 * (size_ + 1) > slots_.size()) {
      std::vector<Slot> old = std::move(slots_);
      reset(2 * old.size());
      for (const Slot& slot : old) {
        if (slot.key != kEmpty) place(slot.key) = slot;
      }
    }
    const Key key = key_of(left, right);
    Slot& slot = place(key);
    if (slot.key == kEmpty) {
      slot.key = key;
      ++size_;
    }
    return slot.value;
  }

  template <class Visit>
  void each(Visit visit) const {
    for (const Slot& slot : slots_) {
      if (slot.key != kEmpty) visit(Left(slot.key >> 16), Id(slot.key), slot.value);
    }
  }

 private:
  using Key = std::conditional_t<sizeof(Left) == 2, uint32_t, uint64_t>;
  static constexpr Key kEmpty = ~Key{0};
  static constexpr size_t kFilterBits = 16;  // a slot

  struct Slot {
    Key key = kEmpty;
    Value value{};
  };

  static Key key_of(Left left, Id right) { return Key{left} << 16 | right; }
  static uint64_t hash_of(Key key) { return key * 0x9E3779B97F4A7C15u >> 20; }
  size_t filter_place(uint64_t hash) const { return hash & (kFilterBits * (mask_ + 1) - 1); }

  void reset(size_t num_slots) {
    slots_.assign(num_slots, Slot{});
    filter_.assign(num_slots * kFilterBits / 64, 0);
    mask_ = num_slots - 1;
  }

  // Where the key is, or where it goes.
  Slot& place(Key key) {
    const uint64_t hash = hash_of(key);
    filter_[filter_place(hash) / 64] |= uint64_t{1} << filter_place(hash) % 64;
    size_t at = hash & mask_;
    while (slots_[at].key != kEmpty && slots_[at].key != key) at = (at + 1) & mask_;
    return slots_[at];
  }

  std::vector<Slot> slots_;
  std::vector<uint64_t> filter_;
  size_t mask_ = 0, size_ = 0;
};

// All pieces, and which of them can stand side by side.
class Pieces {
 public:
  explicit Pieces(unsigned num_letters) : num_letters_(num_letters) {
    if (num_letters < 1 || num_letters > 250) throw std::invalid_argument("an alphabet of " + std::to_string(num_letters));
    for (unsigned letter = 0; letter < num_letters; ++letter) parts_.push_back({Id(letter), kNoPiece});
    lengths_.assign(num_letters, 1);
  }

  size_t size() const { return parts_.size(); }
  unsigned num_letters() const { return num_letters_; }
  uint64_t length(Id piece) const { return lengths_[piece]; }
  const Merge& parts(Id piece) const { return parts_[piece]; }

  // The piece that a merge makes of the two, or kNoPiece.
  Id made_of(Id left, Id right) const {
    const Id* made = made_.find(left, right);
    return made ? *made : kNoPiece;
  }

  Id add(Id left, Id right) {
    if (parts_.size() >= kMaxPieces) throw std::length_error("more than " + std::to_string(kMaxPieces) + " pieces");
    const Id made = Id(parts_.size());
    made_(left, right) = made;
    parts_.push_back({left, right});
    lengths_.push_back(lengths_[left] + lengths_[right]);
    return made;
  }

  // Whether `left` and `right`, next to each other, stay as they are: whether encoding their letters gives just them.
  // Only merges that make pieces below `end` are looked at; pieces below `begin` are known to stay.
  //
  // A list of pieces is the encoding of its letters if and only if this holds for all neighbours in it.
  bool stand_apart(Id left, Id right, uint32_t begin, uint32_t end) const {
    return !joins_before(left, right, begin, end);
  }
  bool stand_apart(Id left, Id right) const { return !joins_before(left, right, num_letters_, kNoPiece); }

  // Whether the merge of the two is what encoding their letters comes to. If not, the piece can never be made.
  bool reachable(Id left, Id right) const { return !joins_before(left, right, num_letters_, 0); }

  // Appends the letters of a piece.
  void spell(Id piece, std::vector<Id>& letters) const { take_apart(piece, num_letters_, letters); }

  // Appends the pieces below `begin` that a piece was made of.
  void take_apart(Id piece, size_t begin, std::vector<Id>& parts) const {
    std::vector<Id> open{piece};
    while (!open.empty()) {
      const Id top = open.back();
      open.pop_back();
      if (top < begin) {
        parts.push_back(top);
      } else {
        open.push_back(parts_[top].right);
        open.push_back(parts_[top].left);
      }
    }
  }

 private:
  // Time is walked backwards: the younger of the two is taken apart, and each pair that once met at the seam must not
  // have been merged before one of its two was gone. `limit` is that moment; of two equal merges the left one is first.
  bool joins_before(Id left, Id right, uint32_t begin, uint32_t limit) const {
    for (;;) {
      if (made_of(left, right) < limit) return true;  // kNoPiece is never below it
      // No branch here: which of the two is younger cannot be foreseen.
      const bool is_left = left > right;
      const Id younger = is_left ? left : right;
      if (younger < begin) return false;
      limit = uint32_t{younger} + !is_left;
      const Merge parts = parts_[younger];
      left = is_left ? parts.right : left;
      right = is_left ? right : parts.left;
    }
  }

  unsigned num_letters_;
  std::vector<Merge> parts_;
  std::vector<uint64_t> lengths_;
  PairMap<Id> made_;
};

// Runs task(0) .. task(count - 1), each on a thread of its own. The first exception is thrown again here.
template <class Task>
void parallel(unsigned count, Task task) {
  if (count <= 1) {
    if (count == 1) task(0u);
    return;
  }
  std::vector<std::exception_ptr> errors(count);
  const auto guarded = [&](unsigned number) {
    try {
      task(number);
    } catch (...) {
      errors[number] = std::current_exception();
    }
  };
  std::vector<std::thread> threads;
  threads.reserve(count);
  for (unsigned number = 1; number < count; ++number) {
    try {
      threads.emplace_back(guarded, number);
    } catch (const std::system_error&) {
      guarded(number);  // the machine gives no more threads
    }
  }
  guarded(0);
  for (std::thread& thread : threads) thread.join();
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace llama_gene
