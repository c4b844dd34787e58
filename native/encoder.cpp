#include "encoder.h"

#include <atomic>
#include <cstring>

namespace llama_gene {

namespace {

// A long sequence is encoded in parts that overlap.
constexpr size_t kPart = 1 << 18, kOverlap = 1 << 12;
// Short ones are encoded in groups of about this many letters.
constexpr size_t kGroup = 1 << 16;
// Pieces of the first level. More make the second level shorter, and the tables of the first one slower.
constexpr size_t kMaxFirst = 640;
// A key is made of so many letters, as far as they fit into so many bits.
constexpr unsigned kKeyLetters = 6, kKeyBits = 15;
// Letters of all pieces together. Thirty thousand pieces of DNA have 0.2 million; this bounds what a made-up table takes.
constexpr uint64_t kMaxSpelled = 1 << 24;

template <unsigned num_letters, unsigned bits>
uint16_t key_of(const uint8_t* letters) {
  unsigned key = 0;
  for (unsigned at = 0; at < num_letters; ++at) key |= unsigned{letters[at]} << (num_letters - 1 - at) * bits;
  return uint16_t(key);
}

}  // namespace

// Some sequences, or some of one sequence.
struct Encoder::Part {
  Part(size_t first, size_t last, size_t begin, size_t end) : first(first), last(last), begin(begin), end(end) {}

  size_t first, last;      // numbers of the sequences
  size_t begin, end;       // of one sequence alone: its bytes
  size_t next = SIZE_MAX;  // where the next part of that sequence begins, in bytes ...
  size_t head = 0;         // ... and in letters of this part
  std::vector<Id> ids;
  std::vector<size_t> sizes;  // in ids, of each sequence
};

Encoder::Encoder(unsigned num_letters, const std::vector<Merge>& merges) : pieces_(num_letters) {
  uint64_t num_letters_spelled = 0;
  for (const Merge& merge : merges) {
    const std::string what = "merge " + std::to_string(pieces_.size() - num_letters + 1) + ": ";
    if (merge.left >= pieces_.size() || merge.right >= pieces_.size()) {
      throw std::invalid_argument(what + "it uses a piece that is made later");
    }
    if (pieces_.made_of(merge.left, merge.right) != kNoPiece) throw std::invalid_argument(what + "it is there already");
    if (!pieces_.reachable(merge.left, merge.right)) {
      throw std::invalid_argument(what + "it never happens, since an earlier one takes its letters");
    }
    num_letters_spelled += pieces_.length(pieces_.add(merge.left, merge.right));
    if (num_letters_spelled > kMaxSpelled || pieces_.length(Id(pieces_.size() - 1)) >= kMaxPieceLetters) {
      throw std::invalid_argument(what + "the pieces are too long");
    }
  }
  number_of_.fill(kOther);
  for (unsigned letter = 0; letter < num_letters; ++letter) {
    const auto has = [letter](const Merge& merge) { return merge.left == letter || merge.right == letter; };
    if (!std::any_of(merges.begin(), merges.end(), has)) continue;
    number_of_[letter] = uint8_t(letters_.size());
    letters_.push_back(Id(letter));
  }
  num_first_ = Id(std::min(pieces_.size(), std::max<size_t>(kMaxFirst, num_letters)));
  build_first_level();
  if (num_first_ < pieces_.size()) build_second_level();
}

void Encoder::build_first_level() {
  const size_t num_used = letters_.size();
  first_.assign(num_first_, {});
  first_nodes_.assign(1, {kNoPiece, num_used > 0});
  first_children_.assign(num_used, 0);
  std::vector<Id> letters;
  // Pieces in the order of their lengths: then a node is there before those below it are.
  std::vector<Id> order;
  for (Id piece = 0; piece < num_first_; ++piece) {
    if (piece >= pieces_.num_letters() || number_of_[piece] != kOther) order.push_back(piece);
  }
  std::stable_sort(order.begin(), order.end(), [&](Id a, Id b) { return pieces_.length(a) < pieces_.length(b); });
  for (const Id piece : order) {
    letters.clear();
    pieces_.spell(piece, letters);
    first_[piece].span = uint16_t(letters.size());
    uint32_t node = 0;
    for (const Id letter : letters) {
      const size_t edge = node * num_used + number_of_[letter];
      if (!first_children_[edge]) {
        first_children_[edge] = uint32_t(first_nodes_.size());
        first_nodes_[node].goes_on = true;
        first_nodes_.push_back({first_nodes_[node].piece, false});
        first_children_.resize(first_children_.size() + num_used);
      }
      node = first_children_[edge];
    }
    first_[piece].shorter = first_nodes_[node].piece;
    first_nodes_[node].piece = piece;
  }

  while (size_t{1} << letter_bits_ < num_used) ++letter_bits_;
  key_letters_ = std::min(kKeyLetters, kKeyBits / letter_bits_);
  by_key_.resize(size_t{1} << (key_letters_ * letter_bits_));
  for (size_t key = 0; key < by_key_.size(); ++key) {
    uint32_t node = 0;
    unsigned at = 0;
    for (; at < key_letters_; ++at) {
      const size_t number = key >> ((key_letters_ - 1 - at) * letter_bits_) & ((size_t{1} << letter_bits_) - 1);
      const uint32_t below = number < num_used ? first_children_[node * num_used + number] : 0;
      if (!below) break;
      node = below;
    }
    by_key_[key] = {first_nodes_[node].piece, at == key_letters_ && first_nodes_[node].goes_on};
  }

  row_ = (size_t{num_first_} + 63) / 64;
  apart_.resize(num_first_ * row_);
  for (Id left = 0; left < num_first_; ++left) {
    for (Id right = 0; right < num_first_; ++right) {
      const bool apart = pieces_.stand_apart(left, right, pieces_.num_letters(), num_first_);
      apart_[left * row_ + right / 64] |= uint64_t{apart} << right % 64;
    }
  }
}

void Encoder::build_second_level() {
  second_.assign(pieces_.size(), {});
  by_two_.assign(size_t{num_first_} * num_first_, 0);
  second_nodes_.assign(1, {0, false});  // no two
  std::vector<std::vector<Id>> spelled(pieces_.size());
  std::vector<Id> order;
  for (size_t piece = num_first_; piece < pieces_.size(); ++piece) {
    pieces_.take_apart(Id(piece), num_first_, spelled[piece]);
    second_[piece].span = uint16_t(spelled[piece].size());
    order.push_back(Id(piece));
  }
  std::stable_sort(order.begin(), order.end(), [&](Id a, Id b) { return second_[a].span < second_[b].span; });
  inside_.assign(num_first_ * row_, 0);
  for (const Id piece : order) {
    const std::vector<Id>& parts = spelled[piece];
    for (size_t at = 1; at < parts.size(); ++at) {
      inside_[parts[at - 1] * row_ + parts[at] / 64] |= uint64_t{1} << parts[at] % 64;
    }
  }
  // Nodes of two pieces have the lowest numbers, so that those fit into by_two_.
  for (const Id piece : order) {
    const std::vector<Id>& parts = spelled[piece];
    Id& two = by_two_[size_t{parts[0]} * num_first_ + parts[1]];
    if (two) continue;
    two = Id(second_nodes_.size());
    second_nodes_.push_back({parts[0], false});
  }
  for (const Id piece : order) {
    const std::vector<Id>& parts = spelled[piece];
    uint32_t node = by_two_[size_t{parts[0]} * num_first_ + parts[1]];
    for (size_t at = 2; at < parts.size(); ++at) {
      uint32_t& below = second_children_(node, parts[at]);
      if (!below) {
        below = uint32_t(second_nodes_.size());
        second_nodes_[node].goes_on = true;
        second_nodes_.push_back({second_nodes_[node].piece, false});
      }
      node = below;
    }
    second_[piece].shorter = second_nodes_[node].piece;
    second_nodes_[node].piece = piece;
  }
}

// What one thread works with.
struct Encoder::Scratch {
  std::vector<uint8_t> codes, letters, dead;
  std::vector<uint16_t> keys;
  std::vector<Node> starts;
  std::vector<Id> first, twos;
};

// The one list of pieces that covers `length` places and whose neighbours stand apart. `longest(at)` is the longest
// piece from a place on that does not go beyond the end; `reach` says how long each is. `apart` is also told where the right
// one of two pieces begins.
template <class Longest, class Apart>
size_t Encoder::cut_up(size_t length, const Reach* reach, std::vector<uint8_t>& dead, Id* out, Longest longest,
                       Apart apart) {
  dead.assign(length + 1, 0);  // places where no list of what stands before ends
  Id* top = out;
  for (size_t at = 0; at < length;) {
    Id piece = longest(at);
    for (;;) {
      const size_t end = at + reach[piece].span;
      if (!dead[end] && (top == out || apart(top[-1], piece, at))) {
        *top++ = piece;
        at = end;
        break;
      }
      piece = reach[piece].shorter;
      while (piece == kNoPiece) {
        dead[at] = 1;
        const Id given_up = *--top;
        at -= reach[given_up].span;
        piece = reach[given_up].shorter;
      }
    }
  }
  return size_t(top - out);
}

// The key of each place: the next key_letters_ letters, with zeros beyond the end. For the keys of DNA and of protein the
// compiler makes vectors.
void Encoder::write_keys(const uint8_t* letters, size_t length, uint16_t* keys) const {
  size_t at = 0;
  if (key_letters_ == 6 && letter_bits_ == 2) {
    for (; at + 6 <= length; ++at) keys[at] = key_of<6, 2>(letters + at);
  } else if (key_letters_ == 3 && letter_bits_ == 5) {
    for (; at + 3 <= length; ++at) keys[at] = key_of<3, 5>(letters + at);
  }
  for (; at < length; ++at) {
    unsigned key = 0;
    for (size_t next = at; next < at + key_letters_; ++next) {
      key = key << letter_bits_ | (next < length ? letters[next] : 0u);
    }
    keys[at] = uint16_t(key);
  }
}

// Appends the pieces of a run of letters, given by their numbers.
void Encoder::encode_run(const uint8_t* letters, size_t length, Scratch& scratch, std::vector<Id>& ids) const {
  scratch.keys.resize(length);
  write_keys(letters, length, scratch.keys.data());
  // All at once, since these do not wait for each other.
  scratch.starts.resize(length);
  Node* const starts = scratch.starts.data();
  for (size_t at = 0; at < length; ++at) starts[at] = by_key_[scratch.keys[at]];
  // Beyond the end there is nothing.
  for (size_t at = length - std::min<size_t>(length, key_letters_); at < length; ++at) {
    while (at + first_[starts[at].piece].span > length) starts[at].piece = first_[starts[at].piece].shorter;
  }
  const size_t num_used = letters_.size();
  const auto longest_first = [&](size_t at) {
    if (!starts[at].goes_on) return starts[at].piece;
    uint32_t node = 0;
    for (size_t next = at; next < length; ++next) {
      const uint32_t below = first_children_[node * num_used + letters[next]];
      if (!below) break;
      node = below;
    }
    return first_nodes_[node].piece;
  };
  const size_t before = ids.size();
  const bool one_level = num_first_ == pieces_.size();
  std::vector<Id>& first = one_level ? ids : scratch.first;
  const size_t start = one_level ? before : 0;
  first.resize(start + length);
  const size_t num_first = cut_up(length, first_.data(), scratch.dead, &first[start], longest_first,
                                  [&](Id left, Id right, size_t) { return is_set(apart_, left, right); });
  first.resize(start + num_first);
  if (one_level) return;

  // All at once, since these do not wait for each other.
  std::vector<Id>& twos = scratch.twos;
  twos.resize(num_first);
  for (size_t at = 0; at + 1 < num_first; ++at) twos[at] = by_two_[size_t{first[at]} * num_first_ + first[at + 1]];
  twos[num_first - 1] = 0;
  const auto longest_second = [&](size_t at) {
    uint32_t node = twos[at];
    if (!node) return first[at];
    for (size_t next = at + 2; second_nodes_[node].goes_on && next < num_first; ++next) {
      if (!is_set(inside_, first[next - 1], first[next])) break;
      const uint32_t* below = second_children_.find(node, first[next]);
      if (!below) break;
      node = *below;
    }
    return second_nodes_[node].piece;
  };
  const auto apart_second = [&](Id left, Id right, size_t at) {
    // Two pieces of the first level stand apart but for a merge of just the two.
    if (left < num_first_ && right < num_first_) return second_nodes_[twos[at - 1]].piece < num_first_;
    // Whatever joins them has the two at the seam side by side in it.
    return !is_set(inside_, first[at - 1], first[at]) || pieces_.stand_apart(left, right, num_first_, kNoPiece);
  };
  ids.resize(before + num_first);
  const size_t num_second = cut_up(num_first, second_.data(), scratch.dead, &ids[before],
                                   longest_second, apart_second);
  ids.resize(before + num_second);
}

// Appends the pieces of some bytes.
void Encoder::fill(Part& part, const Sequence& sequence, const Meaning& meaning, Scratch& scratch) const {
  std::vector<uint8_t>& codes = scratch.codes;
  codes.resize(part.end - part.begin);
  size_t size = 0;
  bool refused = false;
  const auto copy = [&](size_t begin, size_t end) {
    for (size_t at = begin; at < end; ++at) {
      const uint8_t code = meaning[sequence.bytes[at]];
      codes[size] = code;
      size += code < kSkipped;
      refused |= code == kRefused;
    }
  };
  const size_t next = std::min(part.next, part.end);
  copy(part.begin, next);
  part.head = size;
  copy(next, part.end);
  if (refused) throw std::invalid_argument("a byte that is no letter");

  std::vector<uint8_t>& letters = scratch.letters;
  letters.resize(size);
  for (size_t at = 0; at < size; ++at) letters[at] = number_of_[codes[at]];
  const size_t before = part.ids.size();
  for (size_t at = 0; at < size;) {
    const size_t begin = at;
    const void* other = std::memchr(&letters[at], kOther, size - at);
    at = other ? size_t(static_cast<const uint8_t*>(other) - letters.data()) : size;
    if (at > begin) encode_run(&letters[begin], at - begin, scratch, part.ids);
    for (; at < size && letters[at] == kOther; ++at) part.ids.push_back(codes[at]);
  }
  part.sizes.push_back(part.ids.size() - before);
}

// Puts the parts of one sequence together: a part is left for the next one at the first place where both have a bound
// between pieces that stand apart. False if two parts never meet; a sequence with a short period may do that.
bool Encoder::join(const std::vector<Part>& parts, size_t begin, size_t end, std::vector<int32_t>& ids) const {
  size_t taken = 0;  // ids of the part that are not used, since the part before goes so far
  for (size_t number = begin; number < end; ++number) {
    const std::vector<Id>& left = parts[number].ids;
    if (number + 1 == end) {
      ids.insert(ids.end(), left.begin() + std::ptrdiff_t(taken), left.end());
      break;
    }
    const std::vector<Id>& right = parts[number + 1].ids;
    size_t at = 0, from = 0;
    uint64_t left_at = 0, right_at = parts[number].head;
    while (at < taken) left_at += pieces_.length(left[at++]);
    for (;;) {
      // The piece that would stand before the right part's.
      const Id* before = at > taken ? &left[at - 1] : nullptr;
      if (left_at == right_at && from < right.size() && (before ? pieces_.stand_apart(*before, right[from]) : at == 0)) break;
      if (left_at <= right_at && at < left.size()) {
        left_at += pieces_.length(left[at++]);
      } else if (from < right.size()) {
        right_at += pieces_.length(right[from++]);
      } else {
        return false;
      }
    }
    ids.insert(ids.end(), left.begin() + std::ptrdiff_t(taken), left.begin() + std::ptrdiff_t(at));
    taken = from;
  }
  return true;
}

Encoder::Encoded Encoder::encode_all(const std::vector<Sequence>& sequences, const Meaning& meaning,
                                     unsigned num_threads) const {
  std::vector<Part> parts;
  for (size_t number = 0; number < sequences.size();) {
    if (sequences[number].length > kPart + kOverlap) {
      const size_t length = sequences[number].length;
      for (size_t begin = 0; begin < length; begin += kPart) {
        Part part(number, number, begin, std::min(length, begin + kPart + kOverlap));
        part.next = begin + kPart;
        parts.push_back(std::move(part));
      }
      ++number;
    } else {
      Part part(number, number, 0, 0);
      size_t num_bytes = 0;
      while (number < sequences.size() && num_bytes < kGroup && sequences[number].length <= kPart + kOverlap) {
        num_bytes += sequences[number++].length;
      }
      part.last = number - 1;
      parts.push_back(std::move(part));
    }
  }
  std::atomic<size_t> next{0};
  parallel(unsigned(std::min<size_t>(std::max(1u, num_threads), parts.size())), [&](unsigned) {
    Scratch scratch;
    for (size_t number; (number = next++) < parts.size();) {
      Part& part = parts[number];
      if (part.end) {
        fill(part, sequences[part.first], meaning, scratch);
        continue;
      }
      for (size_t each = part.first; each <= part.last; ++each) {
        part.end = sequences[each].length;
        fill(part, sequences[each], meaning, scratch);
      }
    }
  });

  Encoded encoded;
  size_t num_ids = 0;
  for (const Part& part : parts) num_ids += part.ids.size();
  encoded.ids.reserve(num_ids);
  encoded.offsets.reserve(sequences.size() + 1);
  encoded.offsets.push_back(0);
  for (size_t number = 0; number < parts.size();) {
    const Part& part = parts[number];
    if (part.next == SIZE_MAX) {
      encoded.ids.insert(encoded.ids.end(), part.ids.begin(), part.ids.end());
      for (const size_t size : part.sizes) encoded.offsets.push_back(encoded.offsets.back() + int64_t(size));
      parts[number++].ids = {};
      continue;
    }
    size_t end = number;
    while (end < parts.size() && parts[end].next != SIZE_MAX && parts[end].first == part.first) ++end;
    if (!join(parts, number, end, encoded.ids)) {
      encoded.ids.resize(size_t(encoded.offsets.back()));
      Part whole(part.first, part.first, 0, sequences[part.first].length);
      Scratch scratch;
      fill(whole, sequences[part.first], meaning, scratch);
      encoded.ids.insert(encoded.ids.end(), whole.ids.begin(), whole.ids.end());
    }
    encoded.offsets.push_back(int64_t(encoded.ids.size()));
    for (; number < end; ++number) parts[number].ids = {};
  }
  return encoded;
}

}  // namespace llama_gene
