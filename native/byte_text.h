// Phase A of learning: a slot is a byte (see trainer.h).
#pragma once

#include <cstring>
#include <limits>

#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "slots.h"

namespace llama_gene {

class ByteText {
 public:
  static constexpr size_t kMaxIds = 254;
  static constexpr uint8_t kInside = 254, kBreak = 255;

  explicit ByteText(unsigned num_threads) : num_threads_(num_threads) { push_break(); }

  void add(const uint8_t* codes, size_t length) {
    if (length < 2) return;  // no pair in it
    const size_t at = slots_.size();
    slots_.resize(at + length);
    std::memcpy(slots_.data() + at, codes, length);
    push_break();
    num_letters_ += length;
  }

  size_t num_letters() const { return num_letters_; }

  // Hands over the text as it is now, one piece a slot.
  Buffer<Id> take() {
    apply();
    close_up();
    Buffer<Id> slots;
    slots.resize(slots_.size());
    for (size_t at = 0; at < slots_.size(); ++at) slots[at] = slots_[at] == kBreak ? kNoPiece : Id(slots_[at]);
    slots_ = {};
    return slots;
  }

  void count(size_t num_letters) {
    spans_.assign(256, 1);
    spans_[kInside] = 0;
    num_pieces_ = slots_.size();
    const unsigned num_parts = this->num_parts();
    std::vector<std::vector<int64_t>> of_part(num_parts, std::vector<int64_t>(1 << 16));
    parallel(num_parts, [&](unsigned part) {
      const size_t last = slots_.size() - 1;
      int64_t* counts = of_part[part].data();
      for (size_t at = last * part / num_parts; at < last * (part + 1) / num_parts; ++at) {
        ++counts[slots_[at] << 8 | slots_[at + 1]];
      }
    });
    counts_.assign(1 << 16, 0);
    for (const auto& counts : of_part) {
      for (size_t pair = 0; pair < counts.size(); ++pair) counts_[pair] += counts[pair];
    }
    for (size_t id = 0; id < 256; ++id) counts_[kBreak << 8 | id] = counts_[id << 8 | kBreak] = 0;
    num_ids_ = num_letters;
  }

  bool best(uint64_t min_count, const Allowed& allowed, Merge& found) {
    for (;;) {
      int64_t most = int64_t(min_count) - 1;
      bool any = false;
      for (size_t left = 0; left < num_ids_; ++left) {  // in order of (left, right), so that ties go to the smaller
        for (size_t right = 0; right < num_ids_; ++right) {
          const int64_t count = counts_[left << 8 | right];
          if (count <= most || !allowed(Id(left), Id(right))) continue;
          most = count;
          found = {Id(left), Id(right)};
          any = true;
        }
      }
      if (batch_.empty() || (any && can_wait(found) && outdoes_batch(most))) return any;
      apply();
    }
  }

  void merge(Id left, Id right, Id made) {
    if (!can_wait({left, right})) apply();
    spans_[made] = uint16_t(spans_[left] + spans_[right]);
    num_ids_ = size_t{made} + 1;
    batch_.push_back({uint8_t(left), uint8_t(right), uint8_t(made)});
    counts_[size_t{left} << 8 | right] = 0;
  }

 private:
  // Merges wait until there are a few that one pass can make. No two of a batch share an occurrence, so their order is of
  // no consequence: in none does the right piece of one begin another, nor is any of one piece twice.
  static constexpr size_t kMaxBatch = 8;
  struct Waiting {
    uint8_t left, right, made;
  };

  bool can_wait(const Merge& merge) const {
    if (batch_.empty()) return true;
    if (batch_.size() == kMaxBatch || merge.left == merge.right) return false;
    return std::none_of(batch_.begin(), batch_.end(), [&](const Waiting& other) {
      if (other.made == merge.left || other.made == merge.right) return true;  // the second one of a two may be of it
      return other.left == merge.right || other.right == merge.left || other.left == other.right;
    });
  }

  // Whether no pair that the batch is going to make occurs as often. Each of its occurrences comes from one of a pair
  // that ends where a merge of the batch begins, or begins where that ends.
  bool outdoes_batch(int64_t count) const {
    return std::none_of(batch_.begin(), batch_.end(), [&](const Waiting& other) {
      for (size_t id = 0; id < num_ids_; ++id) {
        if (counts_[id << 8 | other.left] >= count || counts_[size_t{other.right} << 8 | id] >= count) return true;
      }
      return false;
    });
  }

  // What one thread saw of a batch: for each of its merges, how often each piece stood before and after the pair, as the
  // text was at that moment.
  struct Tally {
    int64_t before[kMaxBatch][256] = {}, after[kMaxBatch][256] = {}, matches = 0;
  };

  void apply() {
    if (batch_.empty()) return;
    const std::vector<size_t> cuts = this->cuts();
    std::vector<Tally> tallies(cuts.size() - 1);
    parallel(unsigned(tallies.size()), [&](unsigned part) { merge_part(cuts[part], cuts[part + 1], tallies[part]); });
    for (const Tally& tally : tallies) {
      for (size_t number = 0; number < batch_.size(); ++number) {
        const auto [left, right, made] = batch_[number];
        for (size_t id = 0; id < kInside; ++id) {
          counts_[id << 8 | left] -= tally.before[number][id];
          counts_[id << 8 | made] += tally.before[number][id];
          counts_[size_t{right} << 8 | id] -= tally.after[number][id];
          counts_[size_t{made} << 8 | id] += tally.after[number][id];
        }
      }
      num_pieces_ -= size_t(tally.matches);
    }
    // Of a piece twice some are left over, but none beside another.
    for (const Waiting& merge : batch_) counts_[size_t{merge.left} << 8 | merge.right] = 0;
    batch_.clear();
    if (num_pieces_ < slots_.size() / 4 * 3) close_up();
  }

  void push_break() {
    slots_.resize(slots_.size() + 1);
    slots_[slots_.size() - 1] = kBreak;
  }

  void close_up() {
    slots_.resize(llama_gene::close_up(slots_.data(), slots_.size(), spans_, num_parts()));
    std::fill(spans_.begin(), spans_.begin() + kInside, 1);
  }

  unsigned num_parts() const { return slots_.size() < (1 << 20) ? 1 : num_threads_; }

  // Bounds of parts that can be merged at the same time: on both sides of a bound stands a piece that no merge of the
  // batch takes, so that no part looks at what another one changes.
  std::vector<size_t> cuts() {
    bool other[256];
    std::fill(std::begin(other), std::end(other), true);
    for (const Waiting& merge : batch_) other[merge.left] = other[merge.right] = false;
    std::vector<size_t> cuts{0};
    const unsigned num_parts = this->num_parts();
    for (unsigned part = 1; part < num_parts; ++part) {
      size_t at = std::max(cuts.back(), slots_.size() / num_parts * part);
      // A slot whose piece has one slot only is a place where a piece begins.
      while (at + 1 < slots_.size() && !(spans_[slots_[at]] == 1 && other[slots_[at]] && other[slots_[at + 1]])) ++at;
      if (at + 1 < slots_.size()) cuts.push_back(at + 1);
    }
    cuts.push_back(slots_.size());
    return cuts;
  }

  void merge_part(size_t begin, size_t end, Tally& tally) {
    uint8_t* const slots = slots_.data();
    std::vector<uint8_t> numbers(1 << 16);  // of the merge of each pair
    for (size_t number = 0; number < batch_.size(); ++number) {
      numbers[size_t{batch_[number].left} << 8 | batch_[number].right] = uint8_t(number);
    }
    // `left` in one slot and `right` in the next is the seam of a pair. If they are the same piece and have two slots,
    // then these look like it, too: in a row of such pieces, every other place is a seam.
    const bool twice = batch_[0].left == batch_[0].right;
    const bool alike = twice && spans_[batch_[0].left] == 2;
    bool inside = false;
    size_t last = 0;
    uint16_t seams[kStretch + kNoted];
    for (size_t first = begin + 1; first < end; first += kStretch) {
      const size_t num_seams = find_seams(slots + first, std::min(kStretch, end - first), seams);
      for (size_t at = 0; at < num_seams; ++at) {
        const size_t seam = first + seams[at];
        if (twice) {
          inside = alike && !(inside && seam == last + 1);
          last = seam;
          // The merge before may have taken it: AAA.
          if (inside || slots[seam - 1] != slots[seam]) continue;
        }
        const size_t number = numbers[size_t{slots[seam - 1]} << 8 | slots[seam]];
        const auto [left, right, made] = batch_[number];
        const size_t start = seam - spans_[left], next = seam + spans_[right];
        ++tally.before[number][slots[start - 1]];
        ++tally.after[number][slots[next]];
        slots[seam - 1] = slots[seam] = kInside;
        slots[start] = slots[next - 1] = made;
        ++tally.matches;
      }
    }
  }

  static constexpr size_t kStretch = 4096, kBlock = 64, kNoted = 4;

  // What the merges of a batch are compared with. Their number is told to the compiler, so that all stays at hand; the
  // last one may stand there more than once.
  template <size_t num_merges>
  struct Marks {
    bool fit(const uint8_t* slot) const {
      bool fits = false;
      for (size_t number = 0; number < num_merges; ++number) {
        fits |= (*slot == right[number]) & (slot[-1] == left[number]);
      }
      return fits;
    }
    uint8_t left[num_merges], right[num_merges];
  };

  // Notes the places of the bits, few at a time instead of a branch for each. Returns how many places there are now.
  __attribute__((always_inline)) static inline size_t note(uint64_t bits, size_t block, uint16_t* seams, size_t size) {
    while (bits) {
      for (size_t number = 0; number < kNoted; ++number) {
        seams[size] = uint16_t(block + size_t(__builtin_ctzll(bits | uint64_t{1} << 63)));
        size += bits != 0;
        bits &= bits - 1;
      }
    }
    return size;
  }

  // Seams in the blocks from `slots` on; compilers make vectors of the inner loop.
  template <size_t num_merges>
  static size_t search(const uint8_t* slots, size_t end, const Marks<num_merges>& marks, uint16_t* seams) {
    size_t size = 0;
    for (size_t block = 0; block < end; block += kBlock) {
      uint8_t fits[kBlock];
      for (size_t at = 0; at < kBlock; ++at) fits[at] = marks.fit(slots + block + at);
      uint64_t bits = 0, word;
      for (size_t at = 0; at < kBlock; at += 8) {
        std::memcpy(&word, fits + at, 8);
        bits |= (word * 0x0102040810204080u >> 56) << at;  // little-endian: the lowest bits are the first byte
      }
      size = note(bits, block, seams, size);
    }
    return size;
  }

#ifdef __x86_64__
  // The same where the processor has AVX2: half the time.
  template <size_t num_merges>
  __attribute__((target("avx2"))) static size_t search_avx2(const uint8_t* slots, size_t end,
                                                            const Marks<num_merges>& marks, uint16_t* seams) {
    size_t size = 0;
    for (size_t block = 0; block < end; block += kBlock) {
      uint64_t bits = 0;
      for (size_t half = 0; half < kBlock; half += 32) {
        const auto* const at = reinterpret_cast<const __m256i*>(slots + block + half);
        const auto* const previous = reinterpret_cast<const __m256i*>(slots + block + half - 1);
        const __m256i here = _mm256_loadu_si256(at), before = _mm256_loadu_si256(previous);
        __m256i fits = _mm256_setzero_si256();
        for (size_t number = 0; number < num_merges; ++number) {
          const __m256i left = _mm256_cmpeq_epi8(before, _mm256_set1_epi8(char(marks.left[number])));
          const __m256i right = _mm256_cmpeq_epi8(here, _mm256_set1_epi8(char(marks.right[number])));
          fits = _mm256_or_si256(fits, _mm256_and_si256(left, right));
        }
        bits |= uint64_t(uint32_t(_mm256_movemask_epi8(fits))) << half;
      }
      size = note(bits, block, seams, size);
    }
    return size;
  }
#endif

  template <size_t num_merges>
  size_t find_seams(const uint8_t* slots, size_t length, uint16_t* seams) const {
    Marks<num_merges> marks;
    for (size_t number = 0; number < num_merges; ++number) {
      const Waiting& merge = batch_[std::min(number, batch_.size() - 1)];
      marks.left[number] = merge.left;
      marks.right[number] = merge.right;
    }
    auto search = ByteText::search<num_merges>;
#ifdef __x86_64__
    if (__builtin_cpu_supports("avx2")) search = search_avx2<num_merges>;
#endif
    size_t at = length / kBlock * kBlock, size = search(slots, at, marks, seams);
    for (; at < length; ++at) {
      seams[size] = uint16_t(at);
      size += marks.fit(slots + at);
    }
    return size;
  }

  size_t find_seams(const uint8_t* slots, size_t length, uint16_t* seams) const {
    if (batch_.size() == 1) return find_seams<1>(slots, length, seams);
    if (batch_.size() == 2) return find_seams<2>(slots, length, seams);
    return batch_.size() <= 4 ? find_seams<4>(slots, length, seams) : find_seams<kMaxBatch>(slots, length, seams);
  }

  unsigned num_threads_;
  size_t num_letters_ = 0, num_pieces_ = 0, num_ids_ = 0;
  Buffer<uint8_t> slots_;
  std::vector<uint16_t> spans_;  // slots of each piece
  // Of each pair, [left << 8 | right], before the batch; of the pairs in the batch 0.
  std::vector<int64_t> counts_;
  std::vector<Waiting> batch_;
};

}  // namespace llama_gene
