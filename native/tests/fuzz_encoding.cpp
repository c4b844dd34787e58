// A libFuzzer target: any bytes are a list of merges and a text. Lists with a merge that cannot be made must be refused,
// and with the others the ids must be the naive ones.
#include <cstdio>
#include <cstdlib>

#include "check.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size < 4 || size > 4096) return 0;
  World world;
  world.num_letters = 1 + data[0] % 26;
  world.num_threads = 1 + data[1] % 2;
  const bool raw = data[1] & 128;  // merges as they come, good or not
  const size_t num_merges = std::min<size_t>(data[2], (size - 4) / 2);
  const size_t copies = size_t{1} << data[3] % 12;
  std::vector<check::Merge> merges;
  size_t at = 4;
  for (size_t k = 0; k < num_merges; ++k, at += 2) {
    // Counted from the newest piece, so that a change early in the list leaves the later merges alike.
    const unsigned end = unsigned(world.num_letters + merges.size() + (raw && data[at] == 255));
    merges.push_back({uint16_t(end - 1 - data[at] % end), uint16_t(end - 1 - data[at + 1] % end)});
    if (!raw) {
      const auto pieces = oracle::spell(world.num_letters, merges, 2000);
      const bool good = pieces.size() == world.num_letters + merges.size() &&
                        oracle::encode(world.num_letters, merges, pieces.back()) == check::Ids{int32_t(pieces.size() - 1)};
      if (!good) merges.pop_back();
    }
  }
  oracle::Codes text;
  for (; at < size; ++at) text.push_back(uint8_t(data[at] % world.num_letters));
  const oracle::Codes period = text;
  while (text.size() < period.size() * copies && text.size() < 100000) text.insert(text.end(), period.begin(), period.end());

  std::string wrong = check::check_refusal(world.num_letters, merges);
  if (wrong.empty() && !raw) {
    const check::Encoder encoder(world.num_letters, merges);
    wrong = check::check_text(world, merges, encoder, text);
    if (wrong.empty() && merges.size() <= 12) wrong = check::check_neighbours(world, merges);
  }
  if (!wrong.empty()) {
    std::fprintf(stderr, "%s\n%s\n", wrong.c_str(), world.to_string().c_str());
    std::abort();
  }
  return 0;
}
