// The program cowfs as a user runs it: exit codes, JSON, and what it says about bad devices.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

namespace {

using testing::HasSubstr;

struct Ran {
  int exit_code = -1;
  std::string output;  // standard output and error
};

Ran run(const std::string& arguments) {
  const std::string command = std::string(COWFS_PROGRAM) + " " + arguments + " 2>&1";
  Ran ran;
  FILE* pipe = popen(command.c_str(), "r");
  std::array<char, 4096> part;
  std::size_t got = 0;
  while ((got = fread(part.data(), 1, part.size(), pipe)) > 0) ran.output.append(part.data(), got);
  const int status = pclose(pipe);
  if (WIFEXITED(status)) ran.exit_code = WEXITSTATUS(status);
  return ran;
}

class CowfsProgram : public testing::Test {
 protected:
  void SetUp() override {
    char path[] = "/var/tmp/cowfs_program_XXXXXX";
    const int file = mkstemp(path);
    ASSERT_GE(file, 0);
    ASSERT_EQ(ftruncate(file, 64 << 20), 0);
    close(file);
    image_ = path;
  }
  void TearDown() override { std::filesystem::remove(image_); }
  std::string image_;
};

// Empty images of devices beside `image`, which go with the object.
class Several {
 public:
  Several(const std::string& image, int count) {
    for (int i = 0; i < count; ++i) {
      paths_.push_back(image + "." + std::to_string(i));
      std::filesystem::copy_file(image, paths_.back());
      std::filesystem::resize_file(paths_.back(), 96 << 20);
    }
  }
  ~Several() {
    for (const std::string& path : paths_)
      for (const char* suffix : {"", ".saved"}) std::filesystem::remove(path + suffix);
  }
  Several(const Several&) = delete;
  Several& operator=(const Several&) = delete;

  const std::string& path(std::size_t index) const { return paths_[index]; }
  std::string named() const {
    std::string all;
    for (const std::string& path : paths_) all += " " + path;
    return all;
  }
  void save() const {
    for (const std::string& path : paths_)
      EXPECT_EQ(std::system(("cp --sparse=always " + path + " " + path + ".saved").c_str()), 0);
  }
  bool are_as_saved() const {
    bool same = true;
    for (const std::string& path : paths_)
      same = same && std::system(("cmp " + path + " " + path + ".saved").c_str()) == 0;
    return same;
  }

 private:
  std::vector<std::string> paths_;
};

TEST_F(CowfsProgram, several_devices_are_one_filesystem) {
  const std::string second = image_ + ".second", third = image_ + ".third";
  for (const std::string& path : {second, third}) std::filesystem::copy_file(image_, path);
  EXPECT_EQ(run("format --replicas 3 " + image_ + " " + second).exit_code, 2);
  EXPECT_EQ(run("format --replicas 2 --device-labels one,one " + image_ + " " + second).exit_code, 2);
  // 64 MiB each leave less than that for the space of two copies.
  for (const std::string& path : {image_, second, third}) std::filesystem::resize_file(path, 96 << 20);
  const Ran made = run("format --replicas 2 " + image_ + " " + second);
  EXPECT_EQ(made.exit_code, 0) << made.output;
  EXPECT_THAT(made.output, HasSubstr("2 copies on 2 devices"));
  EXPECT_EQ(run("check " + second + " " + image_).exit_code, 0);
  const Ran alone = run("check " + second);
  EXPECT_EQ(alone.exit_code, 0);
  EXPECT_THAT(alone.output, HasSubstr("note: member 0 is missing"));
  EXPECT_EQ(run("check " + image_ + " " + image_ + "x").exit_code, 2);
  const Ran incomplete = run("check --repair " + image_);
  EXPECT_EQ(incomplete.exit_code, 2);
  EXPECT_THAT(incomplete.output, HasSubstr("name them all"));
  const Ran replaced = run("device replace --member 1 --json --with " + third + " " + image_);
  EXPECT_EQ(replaced.exit_code, 0);
  EXPECT_THAT(replaced.output, HasSubstr("\"done\": \"is member 1\""));
  const Ran stale = run("device set-state --member 1 --state stale --json " + third + " " + image_);
  EXPECT_THAT(stale.output, HasSubstr("\"done\": \"stale\""));
  EXPECT_EQ(run("device set-state --member 1 --state current " + third + " " + image_).exit_code, 0);
  EXPECT_EQ(run("check " + third + " " + image_).exit_code, 0);
  const Ran gone = run("check " + image_ + " " + second);
  EXPECT_EQ(gone.exit_code, 2) << gone.output;
  EXPECT_THAT(gone.output, HasSubstr("pool_device_foreign"));
  EXPECT_THAT(run("device online " + third + " " + image_).output, HasSubstr("all devices count"));
  for (const std::string& path : {second, third}) std::filesystem::remove(path);
}

TEST_F(CowfsProgram, a_device_is_used_up_to_a_size) {
  std::filesystem::resize_file(image_, 128 << 20);
  EXPECT_EQ(run("format " + image_).exit_code, 0);
  EXPECT_EQ(run("device resize --size 16M " + image_).exit_code, 2);
  EXPECT_EQ(run("device resize --size 1G " + image_).exit_code, 2);
  EXPECT_EQ(run("device resize --size 90M " + image_ + " " + image_).exit_code, 2);  // which one?
  const Ran smaller = run("device resize --size 90M --json " + image_);
  EXPECT_EQ(smaller.exit_code, 0) << smaller.output;
  EXPECT_THAT(smaller.output, HasSubstr("is used up to byte 94371840"));
  EXPECT_EQ(run("check " + image_).exit_code, 0);
  std::filesystem::resize_file(image_, 90 << 20);
  EXPECT_EQ(run("check " + image_).exit_code, 0);
  EXPECT_THAT(run("show-super " + image_).output, HasSubstr("94371840 bytes"));
  EXPECT_EQ(run("device resize " + image_).exit_code, 0);
}

TEST_F(CowfsProgram, stripes_lie_on_several_devices) {
  std::vector<std::string> paths;
  std::string all;
  for (int i = 0; i < 4; ++i) {
    paths.push_back(image_ + "." + std::to_string(i));
    std::filesystem::copy_file(image_, paths.back());
    std::filesystem::resize_file(paths.back(), 96 << 20);
    if (i < 3) all += " " + paths.back();
  }
  EXPECT_EQ(run("format --erasure-code 2" + all).exit_code, 2);
  EXPECT_EQ(run("format --erasure-code 2+1 --replicas 2" + all).exit_code, 2);
  const Ran too_few = run("format --erasure-code 4+2" + all);
  EXPECT_EQ(too_few.exit_code, 2);
  EXPECT_THAT(too_few.output, HasSubstr("pool_too_few_devices"));
  EXPECT_THAT(too_few.output, HasSubstr("6"));
  const Ran made = run("format --erasure-code 2+1" + all);
  EXPECT_EQ(made.exit_code, 0) << made.output;
  EXPECT_THAT(made.output, HasSubstr("2+1 on as many devices, 1.50 bytes on devices for each byte"));
  EXPECT_EQ(run("check" + all).exit_code, 0);
  EXPECT_EQ(run("check " + paths[0] + " " + paths[2]).exit_code, 0);
  EXPECT_EQ(run("check " + paths[0]).exit_code, 2);
  EXPECT_EQ(run("device replace --member 1 --with " + paths[3] + " " + paths[0] + " " + paths[2]).exit_code, 0);
  EXPECT_EQ(run("check " + paths[3] + " " + paths[0]).exit_code, 0);
  for (const std::string& path : paths) std::filesystem::remove(path);
}

TEST_F(CowfsProgram, formats_shows_and_checks) {
  EXPECT_EQ(run("format --label someone " + image_).exit_code, 0);
  const Ran again = run("format " + image_);
  EXPECT_EQ(again.exit_code, 2);
  EXPECT_THAT(again.output, HasSubstr("--force"));
  EXPECT_EQ(run("format --force --bucket-size 1M " + image_).exit_code, 0);
  for (const char* verb : {"show-super", "usage", "counters", "list-journal", "check"}) {
    SCOPED_TRACE(verb);
    const Ran ran = run(std::string(verb) + " --json " + image_);
    EXPECT_EQ(ran.exit_code, 0) << ran.output;
    const auto json = nlohmann::json::parse(ran.output, nullptr, false);
    ASSERT_FALSE(json.is_discarded()) << ran.output;
    EXPECT_THAT(json.at("schema").get<std::string>(), HasSubstr("cowfs."));
    EXPECT_EQ(run(std::string(verb) + " --help").exit_code, 0);
  }
  EXPECT_THAT(run("check " + image_).output, HasSubstr(": clean"));
  EXPECT_EQ(run("list --nodes " + image_).exit_code, 0);
}

TEST_F(CowfsProgram, a_damaged_copy_is_one_finding_and_exit_1) {
  ASSERT_EQ(run("format " + image_).exit_code, 0);
  FILE* file = fopen(image_.c_str(), "r+");
  ASSERT_NE(file, nullptr);
  fseek(file, 64 * 4096 + 300, SEEK_SET);
  fputc(0x5a, file);
  fclose(file);
  const Ran ran = run("check " + image_);
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_THAT(ran.output, HasSubstr("superblock_copy_damaged"));
  EXPECT_THAT(run("show-super " + image_).output, HasSubstr("note: superblock copy 2"));
}

TEST_F(CowfsProgram, a_planted_damage_is_repaired) {
  ASSERT_EQ(run("format " + image_).exit_code, 0);
  const Ran planted = run("debug corrupt --what accounting_wrong --seed 3 " + image_);
  ASSERT_EQ(planted.exit_code, 0) << planted.output;
  EXPECT_EQ(run("check " + image_).exit_code, 1);
  const std::string saved = image_ + ".saved";
  std::filesystem::copy_file(image_, saved);
  const Ran dry = run("check --repair --dry-run " + image_);
  EXPECT_EQ(dry.exit_code, 1);
  EXPECT_THAT(dry.output, HasSubstr("would repair: accounting_wrong"));
  EXPECT_EQ(std::system(("cmp " + image_ + " " + saved).c_str()), 0);
  std::filesystem::remove(saved);
  const Ran repaired = run("check --repair --json " + image_);
  EXPECT_EQ(repaired.exit_code, 3) << repaired.output;
  const auto json = nlohmann::json::parse(repaired.output, nullptr, false);
  ASSERT_FALSE(json.is_discarded()) << repaired.output;
  EXPECT_EQ(json.at("schema"), "cowfs.repair/1");
  EXPECT_TRUE(json.at("clean").get<bool>());
  EXPECT_EQ(run("check --repair " + image_).exit_code, 0);
  EXPECT_EQ(run("check " + image_).exit_code, 0);
}

// With copies, without, and in stripes: the same two verbs, given all devices.
TEST_F(CowfsProgram, a_planted_damage_is_repaired_on_several_devices) {
  for (const char* layout : {"--replicas 2", "", "--erasure-code 2+1"}) {
    SCOPED_TRACE(layout);
    const Several several(image_, 3);
    ASSERT_EQ(run("format " + std::string(layout) + several.named()).exit_code, 0);
    const Ran planted = run("debug corrupt --what accounting_wrong --seed 3" + several.named());
    ASSERT_EQ(planted.exit_code, 0) << planted.output;
    EXPECT_EQ(run("check" + several.named()).exit_code, 1);
    several.save();
    const Ran dry = run("check --repair --dry-run" + several.named());
    EXPECT_EQ(dry.exit_code, 1);
    EXPECT_THAT(dry.output, HasSubstr("would repair: accounting_wrong"));
    EXPECT_TRUE(several.are_as_saved());
    EXPECT_EQ(run("check --repair" + several.named()).exit_code, 3);
    several.save();
    EXPECT_EQ(run("check --repair" + several.named()).exit_code, 0);
    EXPECT_TRUE(several.are_as_saved());
    EXPECT_EQ(run("check" + several.named()).exit_code, 0);
  }
}

TEST_F(CowfsProgram, a_damage_of_one_device_is_repaired_from_the_others) {
  const Several several(image_, 2);
  ASSERT_EQ(run("format --replicas 2" + several.named()).exit_code, 0);
  const Ran logical = run("debug corrupt --what accounting_wrong --member 1" + several.named());
  EXPECT_EQ(logical.exit_code, 2);
  EXPECT_THAT(logical.output, HasSubstr("nobody could tell"));
  ASSERT_EQ(run("debug corrupt --what slice_header_missing --member 1" + several.named()).exit_code, 0);
  EXPECT_EQ(run("check" + several.named()).exit_code, 0);
  EXPECT_EQ(run("check " + several.path(1)).exit_code, 1);
  const Ran repaired = run("check --repair" + several.named());
  EXPECT_EQ(repaired.exit_code, 3) << repaired.output;
  EXPECT_THAT(repaired.output, HasSubstr("repair: copy_damaged"));
  EXPECT_EQ(run("check " + several.path(1)).exit_code, 0);
  ASSERT_EQ(run("debug corrupt --what links_wrong" + several.named()).exit_code, 2);  // there is no file
  ASSERT_EQ(run("debug corrupt --what accounting_wrong" + several.named()).exit_code, 0);
  EXPECT_EQ(run("check --repair " + several.path(0)).exit_code, 2);
  EXPECT_EQ(run("check --repair --degraded " + several.path(0)).exit_code, 3);
  EXPECT_THAT(run("check --repair" + several.named()).output, HasSubstr("pool_device_stale"));
  EXPECT_THAT(run("check --repair --degraded" + several.named()).output, HasSubstr("member 1"));
}

TEST_F(CowfsProgram, damage_that_cannot_be_planted_says_why) {
  ASSERT_EQ(run("format " + image_).exit_code, 0);
  const Ran device = run("debug corrupt --what data_unreadable " + image_);
  EXPECT_EQ(device.exit_code, 2);
  EXPECT_THAT(device.output, HasSubstr("cannot refuse to be read"));
  for (const char* absent : {"extents_overlap", "node_damaged"}) {
    const Ran none = run(std::string("debug corrupt --what ") + absent + " " + image_);
    EXPECT_EQ(none.exit_code, 2);
    EXPECT_THAT(none.output, HasSubstr("nothing that could be damaged"));
  }
  EXPECT_THAT(run("debug corrupt --what nonsense " + image_).output, HasSubstr("there is no class"));
  EXPECT_EQ(run("check " + image_).exit_code, 0);
}

TEST_F(CowfsProgram, checksums_are_chosen_at_format_and_changed_later) {
  const Ran made = run("format --data-checksum crc64 --metadata-checksum xxh3 " + image_);
  ASSERT_EQ(made.exit_code, 0);
  EXPECT_THAT(made.output, HasSubstr("data checksum          crc64"));
  EXPECT_THAT(made.output, HasSubstr("metadata checksum      xxh3"));
  const Ran changed = run("set-option --data-checksum none " + image_);
  EXPECT_EQ(changed.exit_code, 0);
  EXPECT_THAT(changed.output, HasSubstr("data checksum          none"));
  EXPECT_THAT(changed.output, HasSubstr("metadata checksum      xxh3"));
  EXPECT_EQ(run("check " + image_).exit_code, 0);
  for (const auto& [arguments, says] : {std::pair{"set-option ", "--data-checksum or --metadata-checksum"},
                                        std::pair{"set-option --metadata-checksum none ", "crc32c"},
                                        std::pair{"format --force --metadata-checksum none ", "crc32c"},
                                        std::pair{"format --force --data-checksum md5 ", "xxh3"},
                                        std::pair{"set-option --data-checksum crc32c /no/such", "No such file"}}) {
    SCOPED_TRACE(arguments);
    const Ran ran = run(arguments + (std::string(arguments).back() == ' ' ? image_ : ""));
    EXPECT_EQ(ran.exit_code, 2);
    EXPECT_THAT(ran.output, HasSubstr(says));
  }
  EXPECT_THAT(run("show-super " + image_).output, HasSubstr("data checksum          none"));
}

TEST_F(CowfsProgram, checksums_are_changed_on_all_devices_together) {
  const std::string second = image_ + ".second";
  std::filesystem::copy_file(image_, second);
  for (const std::string& path : {image_, second}) std::filesystem::resize_file(path, 96 << 20);
  ASSERT_EQ(run("format --replicas 2 " + image_ + " " + second).exit_code, 0);
  const Ran one_missing = run("set-option --data-checksum xxh3 " + second);
  EXPECT_EQ(one_missing.exit_code, 2);
  EXPECT_THAT(run("show-super " + second).output, HasSubstr("data checksum          crc32c"));
  EXPECT_EQ(run("set-option --data-checksum xxh3 " + second + " " + image_).exit_code, 0);
  for (const std::string& path : {image_, second})
    EXPECT_THAT(run("show-super " + path).output, HasSubstr("data checksum          xxh3"));
  EXPECT_EQ(run("check " + image_ + " " + second).exit_code, 0);
  std::filesystem::remove(second);
}

TEST_F(CowfsProgram, bad_devices_and_usage_are_exit_2) {
  struct Case {
    std::string arguments;
    const char* says;
  };
  std::filesystem::resize_file(image_, 1 << 20);
  for (const Case& c : {Case{"", "subcommand"}, Case{"check", "DEV"}, Case{"check /dev/null", "neither a block device"},
                        Case{"check /no/such", "No such file"}, Case{"check " + image_, "not a cowfs device"},
                        Case{"format " + image_, "smaller"}, Case{"format --bucket-size 3M " + image_, "smaller"},
                        Case{"list --slice x " + image_, "slice"}, Case{"format /no/such", "No such file"}}) {
    SCOPED_TRACE(c.arguments);
    const Ran ran = run(c.arguments);
    EXPECT_EQ(ran.exit_code, 2);
    EXPECT_THAT(ran.output, HasSubstr(c.says));
  }
  std::filesystem::resize_file(image_, 64 << 20);
  const Ran slices = run("format --slices 3 " + image_);
  EXPECT_EQ(slices.exit_code, 2);
  EXPECT_THAT(slices.output, HasSubstr("power of two"));
}

}  // namespace
