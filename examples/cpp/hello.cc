// zig c++ -target wasm32-wasi -O2 -s -fno-exceptions hello.cc -o hello.wasm
#include <algorithm>
#include <iostream>
#include <memory>
#include <string>
#include <vector>

int main(int argc, char **argv) {
  auto words = std::make_unique<std::vector<std::string>>(argv + 1, argv + argc);
  std::sort(words->begin(), words->end());
  std::cout << "Hello from C++!";
  for (const auto &word : *words) std::cout << " " << word;
  std::cout << " (" << words->size() << ")" << std::endl;
}
