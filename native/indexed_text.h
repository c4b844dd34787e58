// Phase B of learning: a slot has 16 bits, and pairs have lists of their places (see trainer.h).
#pragma once

#include <cstring>
#include <limits>

#include "slots.h"

namespace llama_gene {

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

}  // namespace llama_gene
