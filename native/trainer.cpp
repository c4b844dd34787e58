#include "trainer.h"

#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>
#include <utility>

#ifdef __x86_64__
#include <immintrin.h>
#endif
#ifdef __linux__
#include <sys/mman.h>
#endif

namespace llama_gene {

namespace {

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

using Allowed = std::function<bool(Id, Id)>;

// ---- Phase A ---------------------------------------------------------------------------------------------------------

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

// ---- Phase B ---------------------------------------------------------------------------------------------------------

// `Place` is wide enough for the number of slots.
template <class Place>
class IndexedText {
 public:
  IndexedText(Buffer<Id> slots, const Pieces& pieces, uint64_t min_count, bool in_twos, unsigned num_threads,
              const std::function<void()>& breathe)
      : slots_(std::move(slots)),
        pieces_(pieces),
        min_count_(min_count),
        in_twos_(in_twos),
        num_threads_(num_threads),
        breathe_(breathe),
        tallies_(num_threads) {
    recount();
  }

  bool best(uint64_t, const Allowed& allowed, Merge& found) {
    for (;;) {
      while (!heap_.empty()) {
        const Candidate top = heap_.front();
        std::pop_heap(heap_.begin(), heap_.end());
        heap_.pop_back();
        const uint64_t count = pairs_[*index_.find(top.left, top.right)].count;
        if (count < top.count) {  // it has lost occurrences since it was put there
          if (count >= floor_) push({count, top.left, top.right});
        } else if (allowed(top.left, top.right)) {
          found = {top.left, top.right};
          return true;
        }
      }
      if (floor_ <= min_count_) return false;
      recount();
    }
  }

  void merge(Id left, Id right, Id made) {
    spans_[made] = uint16_t(spans_[left] + spans_[right]);
    std::vector<Place> found;
    std::unique_ptr<Place[]> own;
    Place* places;
    size_t size;
    if (const uint32_t* known = index_.find(left, right)) {
      Pair& pair = pairs_[*known];
      places = pair.places;
      own = std::move(pair.own);
      size = pair.size;
      pair.count = 0;
    } else {
      found = search(left, right);
      places = found.data();
      size = found.size();
    }
    const std::vector<size_t> cuts = this->cuts(places, size, spans_[made]);
    const unsigned num_parts = unsigned(cuts.size() - 1);
    std::vector<size_t> kept(num_parts);
    parallel(num_parts, [&](unsigned part) {
      kept[part] = replace(places + cuts[part], cuts[part + 1] - cuts[part], left, right, made, tallies_[part]);
    });
    if (announce(left, right, made, num_parts)) {
      parallel(num_parts, [&](unsigned part) { list(places + cuts[part], kept[part], made, tallies_[part]); });
    }
    for (unsigned part = 0; part < num_parts; ++part) tallies_[part].clear();
  }

 private:
  static constexpr Id kBreak = kNoPiece, kInside = kNoPiece - 1;

  struct Pair {
    uint64_t count;
    Place* places;  // of its first slots, rising; some may be out of date
    size_t size;
    std::unique_ptr<Place[]> own;  // the list of a pair that is younger than the last counting
  };

  struct Candidate {
    uint64_t count;
    Id left, right;
    bool operator<(const Candidate& other) const {
      if (count != other.count) return count < other.count;
      return left != other.left ? left > other.left : right > other.right;
    }
  };

  // What one thread saw of a merge: how often each piece stood before and after the pair, as the text was at that
  // moment; and where the places of the new pairs go.
  struct Tally {
    std::vector<Place> before = std::vector<Place>(1 << 16), after = std::vector<Place>(1 << 16);
    std::vector<Place*> before_to = std::vector<Place*>(1 << 16), after_to = std::vector<Place*>(1 << 16);
    std::vector<Id> before_ids, after_ids;

    void saw(Id previous, Id next) {
      if (before[previous]++ == 0) before_ids.push_back(previous);
      if (after[next]++ == 0) after_ids.push_back(next);
    }
    void clear() {
      for (const Id id : before_ids) before[id] = 0, before_to[id] = nullptr;
      for (const Id id : after_ids) after[id] = 0, after_to[id] = nullptr;
      before_ids.clear();
      after_ids.clear();
    }
  };

  void push(const Candidate& candidate) {
    heap_.push_back(candidate);
    std::push_heap(heap_.begin(), heap_.end());
  }

  bool short_enough(Id left, Id right) const {
    return pieces_.length(left) + pieces_.length(right) < kMaxPieceLetters;
  }

  // Closes up the text, and lists the pairs that come next.
  void recount() {
    heap_.clear();
    pairs_.clear();
    places_ = {};
    index_ = {};
    if (!spans_.empty()) {
      slots_.resize(close_up(slots_.data(), slots_.size(), spans_, num_threads_));
      slots_.shrink_to_fit();
    }
    spans_.assign(1 << 16, 1);
    spans_[kInside] = 0;
    breathe_();
    sort_places();
    breathe_();
    std::vector<std::vector<Candidate>> pairs(num_threads_);
    parallel(num_threads_, [&](unsigned part) { pairs[part] = count(part); });
    breathe_();
    choose_floor(pairs);
    parallel(num_threads_, [&](unsigned part) { list(part, pairs[part]); });
    rights_ = {};
    size_t size = 0;
    for (unsigned part = 0; part < num_threads_; ++part) {
      size_t listed = 0;
      for (const Candidate& pair : pairs[part]) listed += pair.count;
      std::memmove(places_.data() + size, places_.data() + begins_[share(part)], listed * sizeof(Place));
      size += listed;
    }
    places_.resize(size);
    places_.shrink_to_fit();
    Place* places = places_.data();
    for (const auto& of_part : pairs) {
      for (const Candidate& pair : of_part) {
        start(pair.left, pair.right, pair.count, places);
        places += pair.count;
      }
    }
    breathe_();
  }

  // Sorts the places of the text by the pieces that stand there, and keeps for each what stands next.
  void sort_places() {
    const size_t size = slots_.size() - 1;
    std::vector<std::vector<Place>> next(num_threads_);  // where the next place of each piece goes
    const auto bound = [&](unsigned part) { return part == num_threads_ ? size : size / num_threads_ * part; };
    parallel(num_threads_, [&](unsigned part) {
      next[part].assign(1 << 16, 0);
      Place* const count = next[part].data();
      for (size_t at = bound(part); at < bound(part + 1); ++at) ++count[slots_[at]];
    });
    begins_.assign((1 << 16) + 1, 0);
    Place sum = 0;
    for (size_t id = 0; id < 1 << 16; ++id) {
      begins_[id] = sum;
      for (std::vector<Place>& of_part : next) sum += std::exchange(of_part[id], sum);
    }
    begins_.back() = sum;
    places_.resize(size);
    rights_.resize(size);
    parallel(num_threads_, [&](unsigned part) {
      Place* const to = next[part].data();
      Place* const places = places_.data();
      Id* const rights = rights_.data();
      const Id* const slots = slots_.data();
      for (size_t at = bound(part); at < bound(part + 1); ++at) {
        const Place place = to[slots[at]]++;
        places[place] = Place(at);
        rights[place] = slots[at + 1];
      }
    });
  }

  // The first piece of a thread's share: pieces are shared out by their places.
  Id share(unsigned part) const {
    if (part == num_threads_) return kBreak;
    const auto end = begins_.begin() + kBreak;
    return Id(std::lower_bound(begins_.begin(), end, Place(places_.size() / num_threads_ * part)) - begins_.begin());
  }

  // The pairs of the share that may reach the floor, with their counts.
  std::vector<Candidate> count(unsigned part) {
    std::vector<Place> counts(1 << 16);
    std::vector<Id> seen(1 << 16);
    std::vector<Candidate> found;
    uint64_t least = min_count_;
    for (Id left = share(part); left < share(part + 1); ++left) {
      size_t num_seen = 0;
      for (size_t at = begins_[left]; at < begins_[left + 1]; ++at) {
        const Id right = rights_[at];
        seen[num_seen] = right;
        num_seen += counts[right]++ == 0;
      }
      for (size_t number = 0; number < num_seen; ++number) {
        const Id right = seen[number];
        const uint64_t count = std::exchange(counts[right], 0);
        if (count < least || right == kBreak || !short_enough(left, right)) continue;
        found.push_back({count, left, right});
        if (worth_floor()) least = std::max(least, std::min(count, floor_ - 1) / 64);  // no floor will be lower
      }
    }
    return found;
  }

  // The lower the floor, the more pairs are listed and the longer the lists last. Half of all places is the aim.
  void choose_floor(std::vector<std::vector<Candidate>>& counts) {
    uint64_t most = min_count_;
    for (const auto& of_part : counts) {
      for (const Candidate& pair : of_part) most = std::max(most, pair.count);
    }
    most = std::min<uint64_t>(most, floor_ - 1);
    const auto num_places = [&](uint64_t floor) {
      uint64_t sum = 0;
      for (const auto& of_part : counts) {
        for (const Candidate& pair : of_part) sum += pair.count >= floor ? pair.count : 0;
      }
      return sum;
    };
    floor_ = worth_floor() ? std::max(min_count_, most / 2) : min_count_;
    while (floor_ > min_count_ && floor_ > most / 16 && num_places(floor_ / 2) <= slots_.size() / 2) {
      floor_ = std::max(min_count_, floor_ / 2);
    }
    const uint64_t listed = this->listed();
    for (auto& of_part : counts) {
      const auto rare = [listed](const Candidate& pair) { return pair.count < listed; };
      of_part.erase(std::remove_if(of_part.begin(), of_part.end(), rare), of_part.end());
    }
  }

  bool worth_floor() const { return slots_.size() >= (1 << 20); }
  uint64_t listed() const { return in_twos_ ? std::max(min_count_, floor_ - floor_ / 8) : floor_; }

  // Writes the lists of the pairs, in their order, over the places of the share.
  void list(unsigned part, const std::vector<Candidate>& pairs) {
    std::vector<Place> places;  // of one piece
    Place nowhere = 0;
    std::vector<Place*> to(1 << 16, &nowhere);  // by the right piece
    Place* list = places_.data() + begins_[share(part)];
    for (size_t number = 0; number < pairs.size();) {
      const Id left = pairs[number].left;
      const size_t first = number;
      places.assign(places_.data() + begins_[left], places_.data() + begins_[left + 1]);
      for (; number < pairs.size() && pairs[number].left == left; ++number) {
        to[pairs[number].right] = list;
        list += pairs[number].count;
      }
      const Id* const rights = rights_.data() + begins_[left];
      for (size_t at = 0; at < places.size(); ++at) {
        Place*& next = to[rights[at]];
        *next = places[at];
        next += next != &nowhere;
      }
      for (size_t each = first; each < number; ++each) to[pairs[each].right] = &nowhere;
    }
  }

  Pair& start(Id left, Id right, uint64_t count, Place* places) {
    index_(left, right) = uint32_t(pairs_.size());
    if (count >= floor_) push({count, left, right});
    return pairs_.emplace_back(Pair{count, places, count, {}});
  }

  // A pair with a list of its own, which is to be filled.
  Place* start(Id left, Id right, uint64_t count) {
    std::unique_ptr<Place[]> own(new Place[count]);
    Pair& pair = start(left, right, count, own.get());
    pair.own = std::move(own);
    return pair.places;
  }

  // All places of a pair that is not listed.
  std::vector<Place> search(Id left, Id right) {
    std::vector<Place> found;
    for (size_t at = 0; at < slots_.size();) {
      const size_t next = at + spans_[slots_[at]];
      if (slots_[at] == left && next < slots_.size() && slots_[next] == right) found.push_back(Place(at));
      at = next;
    }
    return found;
  }

  // Bounds of parts of a list that can be merged at the same time: between them stands a piece that no part changes.
  std::vector<size_t> cuts(const Place* places, size_t size, size_t span) const {
    std::vector<size_t> cuts{0};
    const unsigned num_parts = size < (1 << 15) ? 1 : num_threads_;
    for (unsigned part = 1; part < num_parts; ++part) {
      size_t at = std::max(cuts.back() + 1, size / num_parts * part);
      while (at < size && places[at] - places[at - 1] <= span) ++at;
      if (at < size) cuts.push_back(at);
    }
    cuts.push_back(size);
    return cuts;
  }

  // Merges at the places that still hold the pair, and moves those to the front. Returns how many they are.
  size_t replace(Place* places, size_t size, Id left, Id right, Id made, Tally& tally) {
    constexpr size_t kAhead = 16;
    Id* const slots = slots_.data();
    const size_t left_span = spans_[left], right_span = spans_[right];
    size_t kept = 0;
    for (size_t number = 0; number < size; ++number) {
      if (number + kAhead < size) __builtin_prefetch(slots + places[number + kAhead], 1);
      const size_t at = places[number], seam = at + left_span, next = seam + right_span;
      if (slots[at] != left || slots[seam] != right) continue;
      tally.saw(slots[at - 1], slots[next]);
      slots[seam] = kInside;
      slots[at] = slots[next - 1] = made;
      places[kept++] = Place(at);
    }
    return kept;
  }

  // Brings the counts up to date. Returns whether there are new pairs to list.
  bool announce(Id left, Id right, Id made, unsigned num_parts) {
    const uint64_t listed = this->listed();
    bool any = false;
    const auto total = [&](std::vector<Place> Tally::*counts, Id id) {
      uint64_t sum = 0;
      for (unsigned part = 0; part < num_parts; ++part) sum += (tallies_[part].*counts)[id];
      return sum;
    };
    for (unsigned part = 0; part < num_parts; ++part) {
      // What an earlier part saw as well has been dealt with there.
      const auto known = [&](std::vector<Place> Tally::*counts, Id id) {
        for (unsigned earlier = 0; earlier < part; ++earlier) {
          if ((tallies_[earlier].*counts)[id]) return true;
        }
        return false;
      };
      for (const Id id : tallies_[part].before_ids) {
        if (id == kBreak || known(&Tally::before, id)) continue;
        const uint64_t count = total(&Tally::before, id);
        lower(id, left, count);
        if (count < listed || !short_enough(id, made)) continue;
        Place* to = start(id, made, count);
        for (unsigned each = 0; each < num_parts; ++each) {
          if (!tallies_[each].before[id]) continue;  // what a part has not seen it would not clear
          tallies_[each].before_to[id] = to;
          to += tallies_[each].before[id];
        }
        any = true;
      }
      for (const Id id : tallies_[part].after_ids) {
        if (id == kBreak || known(&Tally::after, id)) continue;
        uint64_t count = total(&Tally::after, id);
        lower(right, id, count);
        // A pair that was seen after the last one has been merged itself since.
        const bool itself = id == left;
        if (itself) count -= total(&Tally::before, made);
        if (count < listed || !short_enough(made, id)) continue;
        Place* to = start(made, id, count);
        for (unsigned each = 0; each < num_parts; ++each) {
          if (!tallies_[each].after[id]) continue;
          tallies_[each].after_to[id] = to;
          to += tallies_[each].after[id] - (itself ? tallies_[each].before[made] : 0);
        }
        any = true;
      }
    }
    return any;
  }

  void lower(Id left, Id right, uint64_t count) {
    if (const uint32_t* known = index_.find(left, right)) {
      Pair& pair = pairs_[*known];
      pair.count -= std::min(pair.count, count);
    }
  }

  // Writes down where the new pairs stand.
  void list(const Place* places, size_t size, Id made, Tally& tally) {
    const Id* const slots = slots_.data();
    const size_t span = spans_[made];
    for (size_t number = 0; number < size; ++number) {
      const size_t at = places[number];
      const Id previous = slots[at - 1], next = slots[at + span];
      if (Place*& to = tally.before_to[previous]) *to++ = Place(at - spans_[previous]);
      if (next == made) continue;  // that one writes it down
      if (Place*& to = tally.after_to[next]) *to++ = Place(at);
    }
  }

  Buffer<Id> slots_;
  const Pieces& pieces_;
  uint64_t min_count_;
  bool in_twos_;
  unsigned num_threads_;
  const std::function<void()>& breathe_;
  std::vector<Tally> tallies_;
  // At a counting: the places of all pieces, those of each from begins_ on, and what stands next to it. The lists of the
  // pairs are then written over the places.
  std::vector<Place> begins_;
  Buffer<Place> places_;
  Buffer<Id> rights_;
  uint64_t floor_ = std::numeric_limits<uint64_t>::max();
  std::vector<uint16_t> spans_;  // slots of each piece
  PairMap<uint32_t> index_;    // into pairs_
  std::vector<Pair> pairs_;
  std::vector<Candidate> heap_;
};

// ---- Pieces in twos --------------------------------------------------------------------------------------------------

// The reverse complement of each piece, where pieces are made together with theirs.
class Mirror {
 public:
  Mirror(std::vector<uint8_t> complement, const Pieces& pieces) : pieces_(pieces) {
    for (const uint8_t letter : complement) mirrored_.push_back(letter);
  }

  // The pair that the reverse complement of `left` and `right` is cut into. False if it is not a pair.
  //
  // Most often that is (mirror of right, mirror of left). But AAA is (AA, A) and TTT is (TT, T): merges go from the left.
  bool mate(Id left, Id right, Merge& found) const {
    found = {mirrored_[right], mirrored_[left]};
    if (pieces_.stand_apart(found.left, found.right)) return true;
    std::vector<Id> ids;
    pieces_.spell(found.left, ids);
    pieces_.spell(found.right, ids);
    for (;;) {
      Id oldest = kNoPiece;
      for (size_t at = 1; at < ids.size(); ++at) oldest = std::min(oldest, pieces_.made_of(ids[at - 1], ids[at]));
      if (oldest == kNoPiece) break;
      const Merge& parts = pieces_.parts(oldest);
      size_t size = 0;
      for (size_t at = 0; at < ids.size(); ++at) {
        const bool fits = at + 1 < ids.size() && ids[at] == parts.left && ids[at + 1] == parts.right;
        ids[size++] = fits ? oldest : ids[at];
        at += fits;
      }
      ids.resize(size);
    }
    if (ids.size() != 2) return false;
    found = {ids[0], ids[1]};
    return true;
  }

  void add(Id piece, Id mirror) {
    mirrored_.resize(pieces_.size());
    mirrored_[piece] = mirror;
    mirrored_[mirror] = piece;
  }

 private:
  const Pieces& pieces_;
  std::vector<Id> mirrored_;
};

}  // namespace

// ---- Both phases -----------------------------------------------------------------------------------------------------

class Trainer::Text {
 public:
  Text(unsigned num_letters, unsigned num_threads, std::vector<uint8_t> complement)
      : pieces(num_letters),
        num_threads(std::max(1u, num_threads)),
        in_twos(!complement.empty()),
        mirror(std::move(complement), pieces),
        bytes(this->num_threads) {}

  std::vector<Merge> train(size_t num_merges, uint64_t min_count, const std::function<void(size_t)>& tick) {
    min_count = std::max<uint64_t>(1, min_count);
    num_merges = std::min(num_merges, kMaxPieces - pieces.size());
    const size_t num_pieces = pieces.size() + num_merges;
    const std::function<void()> breathe = [&] { tick(merges.size()); };
    bytes.count(pieces.size());
    breathe();
    // Two pieces may come at once.
    const bool exhausted = !learn(bytes, std::min(num_pieces, ByteText::kMaxIds - 1), min_count, breathe);
    if (exhausted || pieces.size() >= num_pieces) return merges;
    Buffer<Id> slots = bytes.take();
    if (slots.size() < std::numeric_limits<uint32_t>::max()) {
      IndexedText<uint32_t> text(std::move(slots), pieces, min_count, in_twos, num_threads, breathe);
      learn(text, num_pieces, min_count, breathe);
    } else {
      IndexedText<uint64_t> text(std::move(slots), pieces, min_count, in_twos, num_threads, breathe);
      learn(text, num_pieces, min_count, breathe);
    }
    return merges;
  }

  Pieces pieces;
  unsigned num_threads;
  bool in_twos;
  Mirror mirror;
  ByteText bytes;
  std::vector<Merge> merges;

 private:
  // False if no pair is left.
  template <class AnyText>
  bool learn(AnyText& text, size_t num_pieces, uint64_t min_count, const std::function<void()>& breathe) {
    const Allowed allowed = [&](Id left, Id right) {
      Merge mate;
      return pieces.length(left) + pieces.length(right) < kMaxPieceLetters && (!in_twos || mirror.mate(left, right, mate));
    };
    while (pieces.size() + in_twos < num_pieces) {
      Merge best, mate;
      if (!text.best(min_count, allowed, best)) return false;
      if (in_twos) mirror.mate(best.left, best.right, mate);
      const Id made = make(text, best);
      if (in_twos) {
        const bool palindrome = mate.left == best.left && mate.right == best.right;
        mirror.add(made, palindrome ? made : make(text, mate));
      }
      breathe();
    }
    return true;
  }

  template <class AnyText>
  Id make(AnyText& text, const Merge& merge) {
    const Id made = pieces.add(merge.left, merge.right);
    text.merge(merge.left, merge.right, made);
    merges.push_back(merge);
    return made;
  }
};

Trainer::Trainer(unsigned num_letters, unsigned num_threads, std::vector<uint8_t> complement) {
  if (!complement.empty() && complement.size() != num_letters) {
    throw std::invalid_argument("the complement of " + std::to_string(complement.size()) + " letters of " +
                                std::to_string(num_letters));
  }
  for (size_t letter = 0; letter < complement.size(); ++letter) {
    if (complement[letter] >= num_letters || complement[complement[letter]] != letter) {
      throw std::invalid_argument("letter " + std::to_string(letter) + " is not the complement of its complement");
    }
  }
  text_ = std::make_unique<Text>(num_letters, num_threads, std::move(complement));
}

Trainer::~Trainer() = default;

void Trainer::add(const uint8_t* codes, size_t length) {
  const unsigned num_letters = text_->pieces.num_letters();
  for (size_t at = 0; at < length; ++at) {
    if (codes[at] >= num_letters) throw std::invalid_argument("letter code " + std::to_string(codes[at]));
  }
  text_->bytes.add(codes, length);
}

size_t Trainer::num_letters_added() const { return text_->bytes.num_letters(); }

std::vector<Merge> Trainer::train(size_t num_merges, uint64_t min_count, const std::function<void(size_t)>& tick) {
  return text_->train(num_merges, min_count, tick);
}

}  // namespace llama_gene
