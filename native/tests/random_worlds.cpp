// Draws worlds until the time is over, and compares the trainer and the encoder with the naive ones.
//
//   random_worlds [seconds] [first seed]
//
// A world follows from its seed alone, so a failure is repeated with `random_worlds 1 SEED`. What fails is first made
// smaller, by leaving out runs and letters, then printed.
#include <chrono>
#include <cstdio>
#include <cstdlib>

#include "check.h"

namespace {

using check::Codes;
using check::Ids;
using check::Merge;

void require(bool holds, const char* what) {
  if (holds) return;
  std::fprintf(stderr, "FAILED: %s\n", what);
  std::exit(1);
}

template <class Error, class Action>
bool throws(Action action) {
  try {
    action();
  } catch (const Error&) {
    return true;
  }
  return false;
}

// Answers that were worked out by hand, so that the naive versions are tested too.
void check_literals() {
  const auto merges_are = [](const World& world, const std::vector<Merge>& expected) {
    return check::compare(oracle::train(world.num_letters, world.runs, world.num_merges, world.min_count), expected).empty() &&
           check::compare(check::train(world), expected).empty();
  };
  const auto ids_are = [](unsigned num_letters, const std::vector<Merge>& merges, const Codes& text, const Ids& expected) {
    return oracle::encode(num_letters, merges, text) == expected &&
           check::encode(check::Encoder(num_letters, merges), text) == expected;
  };
  // AC five times, then (AC)G three times, then (ACG)T twice.
  const World text{4, 1, 4, 2, {}, {{0, 1, 0, 1, 0, 1, 2, 3}, {0, 1, 2, 3}, {0, 1, 2}}};
  require(merges_are(text, {{0, 1}, {4, 2}, {5, 3}}), "the merges of ACACACGT, ACGT, ACG");
  require(merges_are({1, 2, 9, 1, {}, {{0, 0, 0, 0, 0}}}, {{0, 0}, {1, 0}, {1, 2}}), "the merges of AAAAA");
  require(merges_are({2, 1, 9, 2, {}, {{0, 1}, {0, 1}, {1}, {}}}, {{0, 1}}), "no run is joined to the next");
  require(merges_are({2, 1, 9, 1, {}, {}}, {}) && merges_are({2, 1, 9, 1, {}, {{1}}}, {}), "nothing to learn from");
  require(merges_are({2, 1, 0, 1, {}, {{0, 0, 0}}}, {}), "no merge asked for");
  // BA was learned first, so ABA is A(BA), not (AB)A.
  require(ids_are(2, {{1, 0}, {0, 1}}, {0, 1, 0, 0, 1, 1}, {0, 2, 3, 1}), "the older merge wins");
  require(ids_are(1, {{0, 0}, {1, 1}}, Codes(7, 0), {2, 1, 0}), "seven A, from the left");
  require(ids_are(2, {}, {1, 0}, {1, 0}) && ids_are(2, {{0, 0}}, {}, {}), "no merges, and no letters");

  // A with T, C with G: what is learned from ACAC is learned from GTGT.
  const World both{4, 2, 2, 1, {3, 2, 1, 0}, {{0, 1, 0, 1}}};
  require(check::train(both).size() == 2 && check::check_shape(both, check::train(both)).empty(), "AC and GT together");

  using invalid = std::invalid_argument;
  require(throws<invalid>([] { check::train({2, 1, 1, 1, {}, {{0, 1, 2}}}); }), "a code beyond the alphabet is refused");
  require(throws<invalid>([] { check::Encoder(2, {{0, 2}}); }), "a merge of itself is refused");
  require(throws<invalid>([] { check::Encoder(2, {{0, 1}, {0, 1}}); }), "a merge made twice is refused");
  require(throws<invalid>([] { check::Encoder(3, {{0, 1}, {1, 2}, {3, 2}, {0, 4}}); }), "a piece never made is refused");
}

// Two threads share a merge of 40,000 places, and only the second one sees the letter 1 before them. The next merge has
// that letter before it too, in the first part, five times: too few for a pair of its own. Those five must not end up
// among the places of the first merge's pair; (1, 253) would lose five, and (255, 6) come after (20, 21).
void check_shared_merge() {
  World world{250, 2, 10, 10, {}, {}};
  const auto add = [&](size_t copies, const Codes& run) { world.runs.insert(world.runs.end(), copies, run); };
  for (uint8_t letter = 10; letter < 16; letter += 2) add(50000, {letter, uint8_t(letter + 1)});
  add(5, {1, 4, 5});
  add(20000, {0, 2, 3});
  add(20000, {1, 2, 3, 6});
  add(34995, {7, 4, 5});
  add(19998, {20, 21});
  const std::string wrong = check::compare(check::train(world), oracle::train(250, world.runs, 10, 10));
  require(wrong.empty(), ("a merge shared by two threads: " + wrong).c_str());
}

// As many pieces as ids of 16 bits can tell apart, and one more than that.
void check_limit() {
  WorldMaker maker(0);
  World world{26, 2, size_t{1} << 17, 1, {}, {Codes(400000)}};
  for (uint8_t& code : world.runs[0]) code = uint8_t(maker.below(26));
  // Asked for more than there can be, the trainer either refuses, or stops in time.
  try {
    const std::vector<Merge> merges = check::train(world);
    require(world.num_letters + merges.size() <= 1 << 16, "no more pieces than ids");
  } catch (const std::exception&) {
  }
  world.num_merges = 64000;
  const std::vector<Merge> merges = check::train(world);
  require(merges.size() == 64000 && check::check_shape(world, merges).empty(), "64,000 merges");
  const check::Encoder encoder(26, merges);
  const std::vector<Codes> pieces = oracle::spell(26, merges, check::kLongestPiece);
  for (size_t id = 0; id < pieces.size(); ++id) {
    require(check::encode(encoder, pieces[id]) == Ids{int32_t(id)}, "each of 64,000 pieces is encoded as itself");
  }
}

std::string check_world(const World& world, uint64_t seed) {
  try {
    if (std::string wrong = check::check_training(world); !wrong.empty()) return wrong;
    const std::vector<Merge> merges = check::train(world);
    WorldMaker maker(seed + 1);
    const size_t length = merges.size() < 100 && maker.below(20) == 0 ? 150000 : 2000;
    if (std::string wrong = check::check_encoding(world, merges, maker, length); !wrong.empty()) return wrong;
    if (merges.size() <= 40) {
      if (std::string wrong = check::check_neighbours(world, merges); !wrong.empty()) return wrong;
    }
    // A list that a trainer made is good; with some entries changed or out of order most are not.
    std::vector<Merge> broken = merges;
    for (size_t change = maker.below(4); change > 0 && !broken.empty(); --change) {
      std::swap(broken[maker.below(broken.size())], broken[maker.below(broken.size())]);
      broken[maker.below(broken.size())].left = uint16_t(maker.below(world.num_letters + broken.size()));
    }
    if (broken.size() <= 200) {
      if (std::string wrong = check::check_refusal(world.num_letters, broken); !wrong.empty()) return wrong;
    }
    return check::check_interruption(world, maker.below(merges.size() + 2));
  } catch (const std::exception& error) {
    return std::string("an exception: ") + error.what();
  }
}

// The smallest world that still fails: without runs, or without a half, a quarter, ... of one.
World shrink(World world, uint64_t seed) {
  const auto still_fails = [&](const World& smaller) { return !check_world(smaller, seed).empty(); };
  for (bool smaller = true; smaller;) {
    smaller = false;
    for (size_t r = world.runs.size(); r-- > 0;) {
      World less = world;
      less.runs.erase(less.runs.begin() + std::ptrdiff_t(r));
      if (still_fails(less)) world = less, smaller = true;
    }
    for (size_t r = 0; r < world.runs.size(); ++r) {
      for (size_t part = world.runs[r].size(); part > 0; part /= 2) {
        for (size_t start = 0; start + part <= world.runs[r].size();) {
          World less = world;
          const auto from = less.runs[r].begin() + std::ptrdiff_t(start);
          less.runs[r].erase(from, from + std::ptrdiff_t(part));
          if (still_fails(less)) {
            world = less, smaller = true;
          } else {
            start += part;
          }
        }
      }
    }
    for (World less = world; less.num_merges > 0;) {
      --less.num_merges;
      if (!still_fails(less)) break;
      world = less, smaller = true;
    }
  }
  return world;
}

}  // namespace

int main(int argc, char** argv) {
  using clock = std::chrono::steady_clock;
  const double seconds = argc > 1 ? std::atof(argv[1]) : 10;
  uint64_t seed = argc > 2 ? std::strtoull(argv[2], nullptr, 10) : 0;
  const auto started = clock::now();
  check_literals();
  check_shared_merge();
  if (argc <= 2) check_limit();
  size_t num_worlds = 0;
  do {
    const World world = WorldMaker(seed).draw();
    if (std::string wrong = check_world(world, seed); !wrong.empty()) {
      std::fprintf(stderr, "FAILED, seed %llu: %s\n", static_cast<unsigned long long>(seed), wrong.c_str());
      const World small = shrink(world, seed);
      std::fprintf(stderr, "as a smaller world: %s\n%s\n", check_world(small, seed).c_str(), small.to_string().c_str());
      return 1;
    }
    ++num_worlds, ++seed;
  } while (std::chrono::duration<double>(clock::now() - started).count() < seconds);
  std::printf("%zu worlds agree; the next seed is %llu\n", num_worlds, static_cast<unsigned long long>(seed));
}
