// A libFuzzer target: any bytes are a world, and its training must agree with the naive one.
#include <cstdio>
#include <cstdlib>

#include "check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 5 || size > 4096) return 0;
  World world;
  world.num_letters = 1 + data[0] % 26;
  world.num_threads = 1 + data[1] % 4;
  world.min_count = data[2] % 4;
  world.num_merges = 4 * data[3];
  if (data[1] & 64) {
    // Neighbouring letters are each other's complement, an odd one is its own.
    for (unsigned code = 0; code < world.num_letters; ++code) {
      world.complement.push_back(uint8_t((code ^ 1) < world.num_letters ? code ^ 1 : code));
    }
  }
  // The last byte of each value ends a run; `repeats` makes long texts of few bytes.
  const size_t repeats = data[1] & 128 ? 1 + data[4] : 1;
  world.runs.emplace_back();
  for (size_t i = 5; i < size; ++i) {
    if (data[i] == 255) {
      world.runs.emplace_back();
    } else {
      world.runs.back().push_back(uint8_t(data[i] % world.num_letters));
    }
  }
  const oracle::Codes period = world.runs.back();
  for (size_t copy = 1; copy < repeats && world.runs.back().size() < 20000; ++copy) {
    world.runs.back().insert(world.runs.back().end(), period.begin(), period.end());
  }
  std::string wrong = check::check_training(world);
  if (wrong.empty()) wrong = check::check_interruption(world, data[4]);
  if (!wrong.empty()) {
    std::fprintf(stderr, "%s\n%s\n", wrong.c_str(), world.to_string().c_str());
    std::abort();
  }
  return 0;
}
