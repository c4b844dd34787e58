#include "trainer.h"

#include <cstdlib>
#include <cstring>
#include <limits>
#include <new>

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
  }

  T* data_ = nullptr;
  size_t size_ = 0, capacity_ = 0;
};

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

  // The text as it is now, one piece a slot.
  template <class Slot>
  size_t close_up(Slot* to) {
    size_t size = 0;
    for (size_t at = 0; at < slots_.size(); at += spans_[slots_[at]]) {
      const uint8_t piece = slots_[at];
      to[size++] = sizeof(Slot) > 1 && piece == kBreak ? Slot(~Slot{0}) : Slot(piece);
    }
    return size;
  }

  size_t num_pieces() const { return num_pieces_; }

  void count() {
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
    occurrences_.assign(256, 0);
    for (const auto& counts : of_part) {
      for (size_t pair = 0; pair < counts.size(); ++pair) {
        counts_[pair] += counts[pair];
        occurrences_[pair >> 8] += counts[pair];
      }
    }
    for (size_t id = 0; id < 256; ++id) counts_[kBreak << 8 | id] = counts_[id << 8 | kBreak] = 0;
    num_ids_ = kInside;
    while (num_ids_ > 0 && occurrences_[num_ids_ - 1] == 0) --num_ids_;
  }

  bool best(uint64_t min_count, const Allowed& allowed, Merge& found) {
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
    return any;
  }

  void merge(Id left, Id right, Id made) {
    spans_[made] = spans_[left] + spans_[right];
    num_ids_ = size_t{made} + 1;
    const std::vector<size_t> cuts = this->cuts(left, right);
    std::vector<Tally> tallies(cuts.size() - 1);
    parallel(unsigned(tallies.size()), [&](unsigned part) {
      merge_part(cuts[part], cuts[part + 1], uint8_t(left), uint8_t(right), uint8_t(made), tallies[part]);
    });
    for (const Tally& tally : tallies) {
      for (size_t id = 0; id < kBreak; ++id) {
        counts_[id << 8 | left] -= tally.before[id];
        counts_[id << 8 | made] += tally.before[id];
        counts_[size_t{right} << 8 | id] -= tally.after[id];
        counts_[size_t{made} << 8 | id] += tally.after[id];
      }
      occurrences_[left] -= tally.matches;
      occurrences_[right] -= tally.matches;
      occurrences_[made] += tally.matches;
      num_pieces_ -= size_t(tally.matches);
    }
    counts_[size_t{left} << 8 | right] = 0;
    if (num_pieces_ < slots_.size() / 4 * 3) {
      slots_.resize(close_up(slots_.data()));
      std::fill(spans_.begin(), spans_.begin() + kInside, 1);
    }
  }

 private:
  // What a merge saw: how often each piece stood before and after the pair, as the text was at that moment.
  struct Tally {
    int64_t before[256] = {}, after[256] = {}, matches = 0;
  };

  void push_break() {
    slots_.resize(slots_.size() + 1);
    slots_[slots_.size() - 1] = kBreak;
  }

  unsigned num_parts() const { return slots_.size() < (1 << 20) ? 1 : num_threads_; }

  // Bounds of parts that can be merged at the same time: on both sides of a bound stands a piece that is neither `left`
  // nor `right`, so that no part looks at what another one changes.
  std::vector<size_t> cuts(Id left, Id right) {
    const auto other = [&](uint8_t id) { return id != left && id != right; };
    std::vector<size_t> cuts{0};
    const unsigned num_parts = this->num_parts();
    for (unsigned part = 1; part < num_parts; ++part) {
      size_t at = std::max(cuts.back(), slots_.size() / num_parts * part);
      // A slot whose piece has one slot only is a place where a piece begins.
      while (at + 1 < slots_.size() && !(spans_[slots_[at]] == 1 && other(slots_[at]) && other(slots_[at + 1]))) ++at;
      if (at + 1 < slots_.size()) cuts.push_back(at + 1);
    }
    cuts.push_back(slots_.size());
    return cuts;
  }

  void merge_part(size_t begin, size_t end, uint8_t left, uint8_t right, uint8_t made, Tally& tally) {
    uint8_t* const slots = slots_.data();
    const size_t left_span = spans_[left], right_span = spans_[right];
    const auto join = [&](size_t at, size_t seam) {
      const size_t next = seam + right_span;
      ++tally.before[slots[at - 1]];
      ++tally.after[slots[next]];
      ++tally.matches;
      slots[seam - 1] = slots[seam] = kInside;
      slots[at] = slots[next - 1] = made;
    };
    if (left == right) {
      for (size_t at = begin; at < end;) {
        const void* hit = std::memchr(slots + at, left, end - at);
        if (!hit) return;
        at = size_t(static_cast<const uint8_t*>(hit) - slots);
        const size_t seam = at + left_span;
        const bool fits = slots[seam] == right;
        if (fits) join(at, seam);
        at = fits ? seam + right_span : seam;
      }
      return;
    }
    // Where the two differ, `left` in one slot and `right` in the next is the seam of a pair, and nothing else is: looked
    // for in blocks, which compilers make vectors of.
    constexpr size_t kBlock = 32;
    size_t seam = begin + 1;
    for (; seam + kBlock <= end; seam += kBlock) {
      uint8_t fits[kBlock];
      for (size_t at = 0; at < kBlock; ++at) {
        fits[at] = uint8_t(slots[seam + at - 1] == left) & uint8_t(slots[seam + at] == right);
      }
      uint64_t words[kBlock / 8];
      std::memcpy(words, fits, kBlock);
      if (!(words[0] | words[1] | words[2] | words[3])) continue;
      for (size_t number = 0; number < kBlock / 8; ++number) {
        // Little-endian: the lowest bits are the first byte.
        for (uint64_t word = words[number]; word; word &= word - 1) {
          const size_t at = seam + 8 * number + size_t(__builtin_ctzll(word)) / 8;
          join(at - left_span, at);
        }
      }
    }
    for (; seam < end; ++seam) {
      if (slots[seam - 1] == left && slots[seam] == right) join(seam - left_span, seam);
    }
  }

  unsigned num_threads_;
  size_t num_letters_ = 0, num_pieces_ = 0, num_ids_ = 0;
  Buffer<uint8_t> slots_;
  std::vector<size_t> spans_;         // slots of each piece
  std::vector<int64_t> counts_;       // of each pair, [left << 8 | right]
  std::vector<int64_t> occurrences_;  // of each piece
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
    if (spans_.size() <= made) spans_.resize(size_t{made} + 1);
    spans_[made] = spans_[left] + spans_[right];
    std::unique_ptr<Place[]> places;
    size_t size;
    if (const uint32_t* known = index_.find(left, right)) {
      Pair& pair = pairs_[*known];
      places = std::move(pair.places);
      size = pair.size;
      pair.count = 0;
    } else {
      size = search(left, right, places);
    }
    const std::vector<size_t> cuts = this->cuts(places.get(), size, spans_[made]);
    const unsigned num_parts = unsigned(cuts.size() - 1);
    std::vector<size_t> kept(num_parts);
    parallel(num_parts, [&](unsigned part) {
      kept[part] = replace(places.get() + cuts[part], cuts[part + 1] - cuts[part], left, right, made, tallies_[part]);
    });
    if (announce(left, right, made, num_parts)) {
      parallel(num_parts, [&](unsigned part) { list(places.get() + cuts[part], kept[part], made, tallies_[part]); });
    }
    for (unsigned part = 0; part < num_parts; ++part) tallies_[part].clear();
  }

 private:
  static constexpr Id kBreak = kNoPiece, kInside = kNoPiece - 1;
  static constexpr size_t kFewBuckets = 1 << 20;

  struct Pair {
    uint64_t count = 0;
    std::unique_ptr<Place[]> places;  // of its first slots, rising; some may be out of date
    size_t size = 0;

    void put(size_t at) { places[size++] = Place(at); }
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

  // Pairs are counted in buckets: one for each pair where there are few pieces, else shared by a hash.
  size_t bucket(Id left, Id right) const {
    if (one_pair_a_bucket_) return size_t{left} * spans_.size() + right;
    return (uint64_t{left} << 16 | right) * 0x9E3779B97F4A7C15u >> hash_shift_;
  }

  // Calls visit(place, left, right, bucket) for all neighbours whose bucket is in the share of `part`. One piece a slot.
  template <class Visit>
  void each_pair(unsigned part, Visit visit) {
    const size_t begin = num_buckets_ * part / num_threads_, end = num_buckets_ * (part + 1) / num_threads_;
    Id left = slots_[0];
    for (size_t at = 1; at < slots_.size(); ++at) {
      const Id right = slots_[at];
      if (left != kBreak && right != kBreak) {
        const size_t bucket = this->bucket(left, right);
        if (bucket - begin < end - begin) visit(at - 1, left, right, bucket);
      }
      left = right;
    }
  }

  // Closes up the text, and lists the pairs that come next.
  void recount() {
    heap_.clear();
    pairs_.clear();
    index_ = {};
    if (!spans_.empty()) {
      size_t size = 0;
      for (size_t at = 0; at < slots_.size(); at += slots_[at] == kBreak ? 1 : spans_[slots_[at]]) {
        slots_[size++] = slots_[at];
      }
      slots_.resize(size);
      slots_.shrink_to_fit();
    }
    spans_.assign(pieces_.size(), 1);
    breathe_();

    num_buckets_ = spans_.size() * spans_.size();
    one_pair_a_bucket_ = num_buckets_ <= std::max<size_t>(kFewBuckets, slots_.size()) && slots_.size() < UINT32_MAX;
    if (!one_pair_a_bucket_) {
      hash_shift_ = 64 - 16;
      while (hash_shift_ > 64 - 26 && slots_.size() >> (64 - hash_shift_) > 8) --hash_shift_;
      num_buckets_ = size_t{1} << (64 - hash_shift_);
    }
    std::vector<uint32_t> counts(num_buckets_);
    parallel(num_threads_, [&](unsigned part) {
      each_pair(part, [&](size_t, Id, Id, size_t bucket) { counts[bucket] += counts[bucket] != UINT32_MAX; });
    });
    breathe_();
    choose_floor(counts);
    if (one_pair_a_bucket_) {
      list_by_buckets(counts);
    } else {
      list_by_pairs(counts);
    }
    breathe_();
  }

  uint64_t listed() const { return in_twos_ ? std::max(min_count_, floor_ - floor_ / 8) : floor_; }

  void list_by_buckets(std::vector<uint32_t>& counts) {
    const uint64_t listed = this->listed();
    for (size_t bucket = 0; bucket < num_buckets_; ++bucket) {
      const Id left = Id(bucket / spans_.size()), right = Id(bucket % spans_.size());
      const bool kept = counts[bucket] >= listed && short_enough(left, right);
      if (kept) start(left, right, counts[bucket]);
      counts[bucket] = kept ? uint32_t(pairs_.size()) : 0;  // from here on: the number of the pair, from 1
    }
    parallel(num_threads_, [&](unsigned part) {
      each_pair(part, [&](size_t at, Id, Id, size_t bucket) {
        if (counts[bucket]) pairs_[counts[bucket] - 1].put(at);
      });
    });
  }

  // What is in a bucket is never less than the count of a pair in it.
  void list_by_pairs(const std::vector<uint32_t>& bounds) {
    const uint64_t listed = this->listed();
    std::vector<PairMap<uint64_t>> counts(num_threads_);
    parallel(num_threads_, [&](unsigned part) {
      each_pair(part, [&](size_t, Id left, Id right, size_t bucket) {
        if (bounds[bucket] >= listed) ++counts[part](left, right);
      });
    });
    breathe_();
    for (const PairMap<uint64_t>& of_part : counts) {
      of_part.each([&](Id left, Id right, uint64_t count) {
        if (count >= listed && short_enough(left, right)) start(left, right, count);
      });
    }
    counts.clear();
    parallel(num_threads_, [&](unsigned part) {
      each_pair(part, [&](size_t at, Id left, Id right, size_t bucket) {
        if (bounds[bucket] < listed) return;
        if (const uint32_t* known = index_.find(left, right)) pairs_[*known].put(at);
      });
    });
  }

  // The lower the floor, the more pairs are listed and the longer the lists last. Half of all places is the aim.
  void choose_floor(const std::vector<uint32_t>& bounds) {
    if (slots_.size() < (1 << 20)) {
      floor_ = min_count_;
      return;
    }
    const uint64_t most = std::min<uint64_t>(*std::max_element(bounds.begin(), bounds.end()), floor_ - 1);
    const auto num_places = [&](uint64_t floor) {
      uint64_t sum = 0;
      for (const uint32_t bound : bounds) sum += bound >= floor ? bound : 0;
      return sum;
    };
    floor_ = std::max(min_count_, most / 2);
    while (floor_ > min_count_ && floor_ > most / 16 && num_places(floor_ / 2) <= slots_.size() / 2) {
      floor_ = std::max(min_count_, floor_ / 2);
    }
  }

  Pair& start(Id left, Id right, uint64_t count) {
    index_(left, right) = uint32_t(pairs_.size());
    Pair& pair = pairs_.emplace_back();
    pair.count = count;
    pair.places.reset(new Place[count]);
    if (count >= floor_) push({count, left, right});
    return pair;
  }

  // All places of a pair that is not listed.
  size_t search(Id left, Id right, std::unique_ptr<Place[]>& places) {
    std::vector<Place> found;
    for (size_t at = 0; at < slots_.size();) {
      const size_t next = at + (slots_[at] == kBreak ? 1 : spans_[slots_[at]]);
      if (slots_[at] == left && next < slots_.size() && slots_[next] == right) found.push_back(Place(at));
      at = next;
    }
    places.reset(new Place[found.size()]);
    std::copy(found.begin(), found.end(), places.get());
    return found.size();
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
        Place* to = start(id, made, count).places.get();
        pairs_.back().size = count;
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
        Place* to = start(made, id, count).places.get();
        pairs_.back().size = count;
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
  bool one_pair_a_bucket_ = false;
  size_t num_buckets_ = 0;
  int hash_shift_ = 0;
  uint64_t floor_ = std::numeric_limits<uint64_t>::max();
  std::vector<size_t> spans_;  // slots of each piece
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
    bytes.count();
    breathe();
    // Two pieces may come at once.
    const bool exhausted = !learn(bytes, std::min(num_pieces, ByteText::kMaxIds - 1), min_count, breathe);
    if (exhausted || pieces.size() >= num_pieces) return merges;
    Buffer<Id> slots;
    slots.resize(bytes.num_pieces());
    bytes.close_up(slots.data());
    bytes = ByteText(num_threads);
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
