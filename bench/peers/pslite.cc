// A synchronous parameter server on ps-lite, for bench/kv.py: two workers push, and pull when both have.
//
//   g++ -std=c++14 -O3 -IPSLITE/include bench/peers/pslite.cc PSLITE/build/libps.a -lzmq -lpthread -o pslite
//
// ps-lite is https://github.com/dmlc/ps-lite, or the one that comes with BytePS. A worker prints the seconds of each
// round as JSON, as kv.py's own workers do. Usage: pslite NAME KEYS ELEMENTS ROUNDS ...
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <unordered_map>
#include <vector>

#include "ps/ps.h"

namespace {

constexpr int kWarmUp = 2;

struct Entry {
  std::vector<float> sum;
  std::vector<ps::KVMeta> waiting;  // pushes of this round, answered when it is complete
  std::vector<ps::Key> key_list;
};

// Values are kept for a list of keys, as its first key names it.
std::unordered_map<ps::Key, Entry> store;

void Handle(const ps::KVMeta &meta, const ps::KVPairs<char> &data, ps::KVServer<char> *server) {
  Entry &entry = store[data.keys[0]];
  if (!meta.push) {
    const size_t nbytes = entry.sum.size() * sizeof(float);
    ps::KVPairs<char> reply;
    reply.keys = data.keys;
    // a copy: the next round may write while this is being sent
    ps::SArray<char> values;
    values.CopyFrom(reinterpret_cast<const char *>(entry.sum.data()), nbytes);
    reply.vals = values;
    ps::SArray<int> lens(data.keys.size());
    for (size_t i = 0; i < data.keys.size(); ++i) lens[i] = static_cast<int>(nbytes / data.keys.size());
    reply.lens = lens;
    server->Response(meta, reply);
    return;
  }
  const size_t size = data.vals.size() / sizeof(float);
  const float *grad = reinterpret_cast<const float *>(data.vals.data());
  if (entry.waiting.empty()) {
    entry.sum.assign(grad, grad + size);
  } else {
    float *sum = entry.sum.data();
    for (size_t i = 0; i < size; ++i) sum[i] += grad[i];
  }
  entry.waiting.push_back(meta);
  if (static_cast<int>(entry.waiting.size()) == ps::NumWorkers()) {
    for (const auto &one : entry.waiting) server->Response(one);
    entry.waiting.clear();
  }
}

double Now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

void Work(int argc, char **argv) {
  ps::KVWorker<char> worker(0, 0);
  std::string json = "{";
  ps::Key first = 0;
  for (int arg = 1; arg + 3 < argc; arg += 4) {
    const int num = atoi(argv[arg + 1]), size = atoi(argv[arg + 2]), rounds = atoi(argv[arg + 3]);
    const int together = size <= 1024 ? num : 1;  // small keys travel in one message, large ones each in its own
    const size_t nbytes = static_cast<size_t>(size) * sizeof(float) * together;
    std::vector<ps::SArray<ps::Key>> keys;
    std::vector<ps::SArray<char>> grads, outs;
    std::vector<ps::SArray<int>> lens;
    for (int i = 0; i < num / together; ++i) {
      ps::SArray<ps::Key> list(together);
      ps::SArray<int> lengths(together);
      for (int k = 0; k < together; ++k) {
        list[k] = first++;
        lengths[k] = size * static_cast<int>(sizeof(float));
      }
      keys.push_back(list);
      lens.push_back(lengths);
      grads.emplace_back(nbytes, 0);
      outs.emplace_back(nbytes, 0);
    }
    std::string times;
    ps::Postoffice::Get()->Barrier(0, ps::kWorkerGroup);
    for (int round = 0; round < rounds + kWarmUp; ++round) {
      const double began = Now();
      std::vector<int> pushed, pulled;
      for (size_t i = 0; i < keys.size(); ++i) pushed.push_back(worker.ZPush(keys[i], grads[i], lens[i]));
      for (size_t i = 0; i < keys.size(); ++i) {
        worker.Wait(pushed[i]);
        pulled.push_back(worker.ZPull(keys[i], &outs[i], &lens[i]));
      }
      for (int one : pulled) worker.Wait(one);
      if (round >= kWarmUp) times += (times.empty() ? "" : ",") + std::to_string(Now() - began);
    }
    json += std::string(json.size() > 1 ? "," : "") + "\"" + argv[arg] + "\":[" + times + "]";
  }
  printf("%s}\n", json.c_str());
  fflush(stdout);
}

}  // namespace

int main(int argc, char **argv) {
  ps::Start(0);
  ps::KVServer<char> *server = nullptr;
  if (ps::IsServer()) {
    server = new ps::KVServer<char>(0);
    server->set_request_handle(Handle);
    ps::RegisterExitCallback([server]() { delete server; });
  }
  if (ps::IsWorker()) Work(argc, argv);
  ps::Finalize(0, true);
  return 0;
}
