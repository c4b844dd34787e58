// Pieces in twos: each with its reverse complement.
#pragma once

#include <algorithm>
#include <vector>

#include "bpe.h"

namespace llama_gene {

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

}  // namespace llama_gene
