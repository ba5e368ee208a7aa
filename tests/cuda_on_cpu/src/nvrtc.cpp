// libnvrtc: compiles CUDA C++ with the host's compiler. The "cubin" is a shared library.
#include <dlfcn.h>
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>
#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#define API extern "C" __attribute__((visibility("default"))) int

namespace fs = std::filesystem;
using std::string;
extern char** environ;

enum { SUCCESS = 0, INVALID_PROGRAM = 4, COMPILATION_FAILED = 6, NO_SUCH_NAME = 10 };

struct Program {
  string source, log, binary;
  std::vector<std::pair<string, string>> headers;  // name and text
  std::vector<string> expressions;
  std::map<string, string> lowered;
};

static Program& of(void* program) { return *static_cast<Program*>(program); }

static string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// Where this library lies; the headers are beside it.
static fs::path home() {
  Dl_info library;
  dladdr(reinterpret_cast<void*>(home), &library);
  return fs::canonical(library.dli_fname).parent_path();
}

static int run(const std::vector<string>& command, const fs::path& log) {
  std::vector<char*> words;
  for (const string& word : command) words.push_back(const_cast<char*>(word.c_str()));
  words.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  pid_t child;
  int failed = posix_spawnp(&child, words[0], &files, nullptr, words.data(), environ), status = -1;
  posix_spawn_file_actions_destroy(&files);
  if (failed) return failed;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
  return status;
}

// Give each kernel an entry point: the name expressions, and the functions that are extern "C", as CuPy writes them.
static string with_entry_points(Program& program) {
  const string kernel = "extern \"C\" __global__ void ";
  string source = program.source + "\n";
  auto add = [&](const string& name, const string& expression) {
    source += "STAND_IN_KERNEL(stand_in_run_" + name + ", " + expression + ")\n";
  };
  for (size_t at = 0; (at = program.source.find(kernel, at)) != string::npos;) {
    at += kernel.size();
    string name = program.source.substr(at, program.source.find('(', at) - at);
    add(name, name);
  }
  for (const string& expression : program.expressions) {
    string name = "expression_" + std::to_string(program.lowered.size());
    program.lowered[expression] = name;
    add(name, expression);
  }
  return source;
}

// The file of flags is build.py's, and so is the prelude, which it has precompiled with them.
static std::vector<string> compiler() {
  return {getenv("CUDA_ON_CPU_COMPILER"), "@" + (home() / "kernel_flags").string(), "-shared", "-Wl,-Bsymbolic",
          "-I" + (home() / "include").string(), "-include", "prelude.h"};
}

API nvrtcVersion(int* major, int* minor) {
  *major = CUDA_VERSION / 1000;
  *minor = CUDA_VERSION % 1000 / 10;
  return SUCCESS;
}
API nvrtcGetNumSupportedArchs(int* count) { *count = 1; return SUCCESS; }
API nvrtcGetSupportedArchs(int* architectures) { *architectures = 80; return SUCCESS; }
extern "C" __attribute__((visibility("default"))) const char* nvrtcGetErrorString(int status) {
  return status == COMPILATION_FAILED ? "NVRTC_ERROR_COMPILATION" : "NVRTC_ERROR";
}

API nvrtcCreateProgram(void** program, const char* source, const char*, int headers, const char** texts,
                       const char** names) {
  Program* made = new Program{source, "", "", {}, {}, {}};
  for (int n = 0; n < headers; n++) made->headers.push_back({names[n], texts[n]});
  *program = made;
  return SUCCESS;
}
API nvrtcDestroyProgram(void** program) {
  delete static_cast<Program*>(*program);
  *program = nullptr;
  return SUCCESS;
}
API nvrtcAddNameExpression(void* program, const char* expression) {
  of(program).expressions.push_back(expression);
  return SUCCESS;
}
API nvrtcGetLoweredName(void* program, const char* expression, const char** name) {
  auto found = of(program).lowered.find(expression);
  if (found == of(program).lowered.end()) return NO_SUCH_NAME;
  *name = found->second.c_str();
  return SUCCESS;
}

API nvrtcCompileProgram(void* of_cupy, int count, const char** options) {
  Program& program = of(of_cupy);
  if (program.source.empty()) {  // CuPy compiles nothing to learn the compiler's identity, for its cache
    program.binary = "// " + home().filename().string() + "\n";
    return SUCCESS;
  }
  string folder = (fs::temp_directory_path() / "cuda-on-cpu-XXXXXX").string();
  if (!mkdtemp(&folder[0])) {
    program.log = "cuda_on_cpu: there is no folder for temporary files\n";
    return COMPILATION_FAILED;
  }
  fs::path here = folder, source = here / "kernel.cpp", binary = here / "kernel.so", log = here / "log";
  for (const auto& [name, text] : program.headers) {
    fs::create_directories((here / name).parent_path());
    std::ofstream(here / name) << text;
  }
  std::ofstream(source) << "#line 1 \"kernel.cu\"\n" << with_entry_points(program);
  std::vector<string> command = compiler();
  for (int n = 0; n < count; n++) {
    string option = options[n], value = option.substr(std::min<size_t>(2, option.size()));
    bool include = option.rfind("-I", 0) == 0 && !fs::exists(value + "/cuda_runtime_api.h");  // CUDA's own are no C++
    if (include || option.rfind("-D", 0) == 0) command.push_back(option);
  }
  command.insert(command.end(), {"-I" + here.string(), "-o", binary.string(), source.string()});
  int status = run(command, log);
  program.log = contents(log);
  program.binary = contents(binary);
  fs::remove_all(here);
  if (status == 0) return SUCCESS;
  program.log += "cuda_on_cpu: " + command[0] + " failed\n";
  return COMPILATION_FAILED;
}

static int size_of(const string& text, size_t* size) { *size = text.size() + 1; return SUCCESS; }
static int copy(const string& text, char* to) { memcpy(to, text.c_str(), text.size() + 1); return SUCCESS; }
API nvrtcGetProgramLogSize(void* program, size_t* size) { return size_of(of(program).log, size); }
API nvrtcGetProgramLog(void* program, char* text) { return copy(of(program).log, text); }
API nvrtcGetPTXSize(void* program, size_t* size) { return size_of(of(program).binary, size); }
API nvrtcGetPTX(void* program, char* text) { return copy(of(program).binary, text); }
API nvrtcGetCUBINSize(void* program, size_t* size) { return size_of(of(program).binary, size); }
API nvrtcGetCUBIN(void* program, char* text) { return copy(of(program).binary, text); }
