// Applying pieces: exact byte-pair encoding in one pass from left to right.
//
// A list of pieces is the encoding of its letters if and only if each two neighbours in it stand apart (see Pieces), so
// there is no need to replay the merges. From each place the longest piece is tried that the text goes on with, then
// the next shorter one, until one stands apart from the piece before; where none does, the piece before is given up for
// a shorter one. No place is entered twice, since there is but one encoding of what stands before it: the time grows
// with the number of letters.
#pragma once

#include <array>
#include <vector>

#include "bpe.h"

namespace llama_gene {

class Encoder {
 public:
  // Throws std::invalid_argument for a merge of pieces that are not there yet, and for one that never happens.
  Encoder(unsigned num_letters, const std::vector<Merge>& merges);

  // What each byte of a sequence means: the code of a letter, or one of the two below.
  using Meaning = std::array<uint8_t, 256>;
  static constexpr uint8_t kSkipped = 254, kRefused = 255;

  struct Sequence {
    const uint8_t* bytes;
    size_t length;
  };

  struct Encoded {
    std::vector<int32_t> ids;      // of all sequences
    std::vector<int64_t> offsets;  // where each begins, and the end
  };

  // Encodes many sequences on several threads, long ones in parts. Throws std::invalid_argument
  // for a refused byte.
  Encoded encode_all(const std::vector<Sequence>& sequences, const Meaning& meaning, unsigned num_threads) const;

 private:
  struct Part;
  struct Reach;
  struct Scratch;

  template <class Longest, class Apart>
  static size_t cut_up(size_t length, const Reach* reach, std::vector<uint8_t>& dead, Id* out, Longest longest, Apart apart);
  void build_first_level();
  void build_second_level();
  void write_keys(const uint8_t* letters, size_t length, uint16_t* keys) const;
  void encode_run(const uint8_t* letters, size_t length, Scratch& scratch, std::vector<Id>& ids) const;
  void fill(Part& part, const Sequence& sequence, const Meaning& meaning, Scratch& scratch) const;
  bool join(const std::vector<Part>& parts, size_t begin, size_t end, std::vector<int32_t>& ids) const;

  // A node of a trie: the longest piece on the way to it, and whether longer ones go on from here.
  struct Node {
    Id piece;
    bool goes_on;
  };

  bool is_set(const std::vector<uint64_t>& bits, Id left, Id right) const {
    return bits[left * row_ + right / 64] >> right % 64 & 1;
  }

  Pieces pieces_;
  // The letters that merges are made of have numbers from 0; all others are kOther, and stand for themselves.
  static constexpr uint8_t kOther = 255;
  std::array<uint8_t, 256> number_of_;
  std::vector<Id> letters_;  // by their numbers

  // There are two levels: the first cuts letters into the oldest pieces, the second does the same with those. The rules
  // are the same, but the tables of the first one are small enough for the fastest memory.
  Id num_first_ = 0;
  // Of each piece of a level: how many letters (or pieces of the first level) it covers, and the longest other piece
  // that it begins with, kNoPiece for none.
  struct Reach {
    uint16_t span = 1;
    Id shorter = kNoPiece;
  };
  std::vector<Reach> first_, second_;

  // First level. A key is made of the next letters.
  unsigned letter_bits_ = 1, key_letters_ = 1;
  std::vector<Node> by_key_;  // where the key is too short to tell, it goes on
  std::vector<Node> first_nodes_;
  std::vector<uint32_t> first_children_;  // of each node by letter, 0 for none
  size_t row_ = 0;  // words for a row of bits
  std::vector<uint64_t> apart_;  // a bit for each two pieces: whether they stand apart

  // Second level.
  std::vector<Id> by_two_;  // node, by the next two pieces of the first level; 0 for none
  std::vector<Node> second_nodes_;
  PairMap<uint32_t, uint32_t> second_children_;
  std::vector<uint64_t> inside_;  // a bit for each two pieces of the first level: whether any piece has them side by side
};

}  // namespace llama_gene
